//! Runs [`partisan_fuzz::managers`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::managers(data));
