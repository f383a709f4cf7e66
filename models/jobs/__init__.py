"""Jobs: programs that run in a process of their own, told what to do by a spec file, answering with a manifest."""
