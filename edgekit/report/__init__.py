"""One list of fields; tables and documents from it."""
