//! Runs [`partisan_fuzz::deliveries`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::deliveries(data));
