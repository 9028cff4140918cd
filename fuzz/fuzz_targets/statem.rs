//! Runs [`partisan_fuzz::statem::statem`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::statem::statem(data));
