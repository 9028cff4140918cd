//! Calls of several nodes.
