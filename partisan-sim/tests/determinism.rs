//! One seed is one run.

use partisan_proto::Duration;
use partisan_sim::fault::FaultClass;
use partisan_sim::workload::Load;
use partisan_sim::{Scenario, Wire};

fn scenario(seed: u64) -> Scenario {
    Scenario {
        seed,
        nodes: 4,
        span: Duration::from_secs(20),
        faults: FaultClass::ALL.to_vec(),
        load: Load::Churn,
        bootstrap: None,
        ..Scenario::default()
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time_and_another_seed_another() {
    let hashes: Vec<_> = (0..5).map(|seed| scenario(seed).run().hash).collect();
    let again: Vec<_> = (0..5).map(|seed| scenario(seed).run().hash).collect();
    assert_eq!(hashes, again);
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn leaving_a_fault_out_leaves_the_plan_of_the_others_alone() {
    let whole = scenario(3).plan();
    let part = Scenario { faults: vec![FaultClass::Crash], ..scenario(3) }.plan();
    assert_eq!(whole.work, part.work);
    assert!(part.faults.iter().all(|fault| whole.faults.contains(fault)));
}

/// Except where lines are slow or stalled: there the true length of a frame counts.
#[test]
fn a_run_is_the_same_whether_its_frames_are_encoded_or_not() {
    let blind = [FaultClass::Crash, FaultClass::Pause, FaultClass::Partition, FaultClass::Cut];
    for seed in 0..5 {
        let run = |wire| {
            let report = Scenario { faults: blind.to_vec(), wire, ..scenario(seed) }.run();
            (report.hash, report.events, report.frames)
        };
        assert_eq!(run(Wire::Encoded), run(Wire::Typed));
    }
}
