//! Any interleaving of answers, ends, timeouts, losses: each call has one outcome.

use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Call {
        to: usize,
        millis: u64,
    },
    /// One of the requests that a node was handed is answered there or elsewhere.
    Reply {
        at: usize,
        of: usize,
        choice: usize,
    },
    Abandon(u64),
    End(usize),
    Lose {
        other: usize,
        anchors: bool,
    },
    Settle,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..3_000u64).prop_map(|(to, millis)| Step::Call { to, millis }),
        6 => (0..3usize, 0..3usize, 0..8usize)
            .prop_map(|(at, of, choice)| Step::Reply { at, of, choice }),
        1 => (1..20u64).prop_map(Step::Abandon),
        1 => (0..3usize).prop_map(Step::End),
        1 => (1..3usize, any::<bool>()).prop_map(|(other, anchors)| Step::Lose { other, anchors }),
        5 => Just(Step::Settle),
        2 => (1..2_000u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn each_call_has_one_outcome(steps in prop::collection::vec(step(), 0..80)) {
        let mut net = cluster(3);
        let (mut open, mut requests, mut next) = (BTreeSet::new(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Call { to, millis } => {
                    next += 1;
                    open.insert(next);
                    let (server, lane) = (process(pid(&net, to, 2)), Lane { channel: WIDE, key: Some(next) });
                    let timeout = Some(Duration::from_millis(millis));
                    call_with(&mut net, 0, next, server, timeout, lane);
                }
                Step::Reply { at, of, choice } => {
                    let to_node: Vec<&(usize, Request)> =
                        requests.iter().filter(|(index, _): &&(usize, Request)| *index == of).collect();
                    if let Some((_, request)) = to_node.get(choice) {
                        let text = alloc::format!("{}", request.reply_to.request.number);
                        let reply_to = request.reply_to;
                        reply(&mut net, at, reply_to, &text);
                    }
                }
                Step::Abandon(number) => {
                    act(&mut net, 0, 1, ProcessAct::Abandon { number });
                    check(&mut net, &mut open)?;
                    open.remove(&number);
                }
                Step::End(index) => end(&mut net, index, 2, why("x")),
                Step::Lose { other, anchors } => {
                    let anchor = |a: usize, b: usize| net.node(a).routes().anchor(net.id(b)).map(|id| (a, id));
                    let spared = [anchor(0, other), anchor(other, 0)];
                    let is_spared = |end| !anchors && spared.contains(&Some(end));
                    net.lose(|a, b| {
                        [(a.0, b.0), (b.0, a.0)].contains(&(0, other)) && !is_spared(a) && !is_spared(b)
                    });
                }
                Step::Settle => net.settle(),
                Step::Pass(millis) => net.run_for(Duration::from_millis(millis)),
            }
            requests.append(&mut net.served);
            check(&mut net, &mut open)?;
        }
        net.run_for(10 * SECOND);
        check(&mut net, &mut open)?;
        prop_assert!(open.is_empty(), "no outcome: {open:?}");
        assert_clean(&net);
    }
}

/// Each outcome is that of a call that has none yet; and the answer is its own.
fn check(net: &mut Net, open: &mut BTreeSet<u64>) -> Result<(), TestCaseError> {
    for (number, result) in answers(net, 0) {
        prop_assert!(open.remove(&number), "a second outcome of {number}: {result:?}");
        if let Ok(answer) = result {
            prop_assert_eq!(answer, bytes(&alloc::format!("{number}")));
        }
    }
    Ok(())
}
