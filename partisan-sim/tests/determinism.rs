//! One seed is one run.

use partisan_proto::Duration;
use partisan_sim::Scenario;
use partisan_sim::fault::FaultClass;
use partisan_sim::workload::Load;

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
