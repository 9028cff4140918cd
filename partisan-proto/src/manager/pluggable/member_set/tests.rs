//! The laws of the member set, and its behaviour at each step.
