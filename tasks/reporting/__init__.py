"""What a person reads: report page, cards, funnel, samples, lineage, metrics."""
