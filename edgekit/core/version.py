"""The version of edgekit; here, so that every room may know it."""

VERSION = "0.1.0"
