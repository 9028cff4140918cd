//! How links carry, delay, cut and lose.
