"""Boards: profiles, inventory, transports, facts, workspace, releases."""
