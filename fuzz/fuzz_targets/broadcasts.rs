//! Runs [`partisan_fuzz::broadcasts`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::broadcasts(data));
