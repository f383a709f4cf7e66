"""Where and how a run's steps run: inline or on a pool, dispatch, approval, parameters."""
