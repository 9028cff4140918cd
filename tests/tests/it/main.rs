//! Tests of the whole: what no single crate can test alone.

mod corpora;
mod demers;
mod golden;
mod house_rules;
mod papers;
mod scenarios;
mod vectors;
