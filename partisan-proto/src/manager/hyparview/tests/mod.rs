//! Rules of the HyParView manager, one by one.
