//! Runs [`partisan_fuzz::processes`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::processes(data));
