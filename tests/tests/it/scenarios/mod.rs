//! Scenarios: each written once, run in the simulator over many seeds and with real nodes over TCP.
//!
//! Those of Partisan's own suites bear its names, and are stronger: each message is sent once and
//! must arrive exactly once, and no condition holds for want of peers.

/// Makes two tests of each scenario: one in the simulator, over so many seeds, and one over TCP.
macro_rules! on_both {
    ($($scenario:ident: $seeds:expr;)*) => {
        $(
            mod $scenario {
                #[test]
                fn simulated() {
                    partisan_tests::simulated(0..$seeds, |cluster| super::$scenario(cluster));
                }

                #[test]
                fn over_tcp() {
                    partisan_tests::over_tcp(|cluster| super::$scenario(cluster));
                }
            }
        )*
    };
}

/// As [`on_both`], for scenarios whose promises hold whatever the network does: in the simulator
/// they run over as many seeds again with faults.
macro_rules! on_both_and_with_faults {
    ($($scenario:ident: $seeds:expr, nodes $nodes:expr;)*) => {
        $(
            mod $scenario {
                #[test]
                fn simulated() {
                    partisan_tests::simulated(0..$seeds, |cluster| super::$scenario(cluster));
                }

                #[test]
                fn with_faults() {
                    let run = |cluster: &mut _| super::$scenario(cluster);
                    partisan_tests::simulated_with_faults(0..$seeds, $nodes, run);
                }

                #[test]
                fn over_tcp() {
                    partisan_tests::over_tcp(|cluster| super::$scenario(cluster));
                }
            }
        )*
    };
}

mod affinity;
mod bad_input;
mod basic;
mod broadcasts;
mod channels;
mod events;
mod full;
mod hyparview;
mod interpose;
mod join;
mod joins;
mod leave;
mod managers;
mod overlay;
mod parallelism;
mod partitions;
mod removal;
mod sim;
mod update;
