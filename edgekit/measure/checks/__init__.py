"""The checks that make a verdict: each looks at samples for one kind of trouble and yields what it finds."""
