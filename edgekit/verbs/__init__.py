"""The verbs of the public API: what each command does, as functions over records."""
