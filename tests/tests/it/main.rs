//! Tests of the whole: what no single crate can test alone.

mod corpora;
mod house_rules;
mod scenarios;
mod vectors;
