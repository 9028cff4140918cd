//! Against what nobody can see but who sees all: any schedule, with losses.

use alloc::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NODES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Causal,
    /// On its lane, that of this key.
    Lane(u64),
    None,
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        6 => Just(Order::Causal),
        2 => (0..2u64).prop_map(Order::Lane),
        2 => Just(Order::None),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Send { from: usize, to: usize, order: Order },
    Deliver(usize),
    Cut { one: usize, other: usize, lanes: bool },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        6 => (node(), node(), order())
            .prop_map(|(from, to, order)| Step::Send { from, to, order }),
        12 => any::<usize>().prop_map(Step::Deliver),
        1 => (node(), node(), any::<bool>())
            .prop_map(|(one, other, lanes)| Step::Cut { one, other, lanes }),
        1 => (1..3_000u64).prop_map(Step::Pass),
    ]
}

/// From whom to whom, and by which key.
type Way = (usize, usize, u64);

/// What each node has sent and delivered, seen from above.
#[derive(Default)]
struct Truth {
    /// By message: who sent it to whom, with what it knew then.
    sent: BTreeMap<u8, (usize, BTreeSet<u8>)>,
    /// By node: the causal messages that happened before now.
    past: [BTreeSet<u8>; NODES],
    /// The ordered messages, by the number of each: of which order, and the one before it in that.
    ordered: BTreeMap<u8, (Way, Option<u8>)>,
    delivered: [Vec<u8>; NODES],
}

impl Truth {
    fn send(&mut self, from: usize, to: usize, number: u8) {
        self.sent.insert(number, (to, self.past[from].clone()));
        self.past[from].insert(number);
    }

    fn send_ordered(&mut self, from: usize, to: usize, (key, number): (u64, u8)) {
        let order = (from, to, key);
        let mut earlier = self.ordered.iter().rev();
        let before = earlier.find(|(_, (other, _))| *other == order).map(|(number, _)| *number);
        self.ordered.insert(number, (order, before));
    }

    /// Every message to this node that was sent before this one was delivered before.
    fn deliver(&mut self, at: usize, number: u8) -> Result<(), TestCaseError> {
        prop_assert!(!self.delivered[at].contains(&number), "{number} twice");
        if let Some((to, past)) = self.sent.get(&number).cloned() {
            prop_assert_eq!(to, at);
            for before in &past {
                let due = self.sent[before].0 == at;
                let here = self.delivered[at].contains(before);
                prop_assert!(!due || here, "{number} before {before}, which was sent before it");
            }
            self.past[at].extend(past);
            self.past[at].insert(number);
        }
        if let Some((_, Some(before))) = self.ordered.get(&number) {
            let here = self.delivered[at].contains(before);
            prop_assert!(here, "{number} before {before}, which is before it on its lane");
        }
        self.delivered[at].push(number);
        Ok(())
    }
}

fn check(net: &mut Net, truth: &mut Truth) -> Result<(), TestCaseError> {
    let all: Vec<(usize, Delivery)> = net.deliveries.drain(..).collect();
    all.into_iter().try_for_each(|(at, delivery)| truth.deliver(at, delivery.payload[0]))
}

proptest! {
    #[test]
    fn everything_arrives_once_and_in_its_order(steps in prop::collection::vec(step(), 0..150)) {
        let mut net = cluster(NODES);
        answers(&mut net);
        let (mut truth, mut number, mut wanted) = (Truth::default(), 0, 0);
        for step in steps {
            match step {
                Step::Send { from, to, order } => {
                    let causal = order == Order::Causal;
                    let connected = from == to || net.node(from).routes().check(net.id(to)).is_ok();
                    if number == u8::MAX || (causal && !connected) {
                        continue;
                    }
                    number += 1;
                    wanted += 1;
                    let label = causal.then(|| LabelId::of(&label()));
                    if causal {
                        truth.send(from, to, number);
                    }
                    let mut message = SendReliable { label, ..message(&net, to, number) };
                    if let Order::Lane(key) = order {
                        truth.send_ordered(from, to, (key, number));
                        (message.key, message.ordered) = (Some(key), true);
                    }
                    send(&mut net, from, message);
                }
                Step::Deliver(choice) => _ = net.step(choice),
                Step::Cut { one, other, lanes } => {
                    let between = |a: usize, b: usize| [(a, b), (b, a)].contains(&(one, other));
                    let anchor = |a: usize, b: usize| {
                        net.node(a).routes().anchor(net.id(b)).map(|id| (a, id))
                    };
                    let anchors = [anchor(one, other), anchor(other, one)];
                    let spared = |end| lanes && anchors.contains(&Some(end));
                    net.lose(|a, b| between(a.0, b.0) && !spared(a) && !spared(b));
                }
                Step::Pass(millis) => net.run_for(Duration::from_millis(millis)),
            }
            check(&mut net, &mut truth)?;
        }
        net.run_for(100 * SECOND);
        check(&mut net, &mut truth)?;
        let arrived: usize = truth.delivered.iter().map(Vec::len).sum();
        prop_assert_eq!(arrived, wanted);
        let acknowledged = answers(&mut net).iter().filter(|answer| **answer == Ok(Answer::Acknowledged)).count();
        prop_assert_eq!(acknowledged, wanted);
        assert_clean(&net);
        for node in net.nodes.iter().flatten() {
            let counters = node.counters().delivery;
            prop_assert_eq!((counters.out_of_patience, counters.out_of_order), (0, 0));
            prop_assert_eq!(counters.overtaken, 0);
        }
    }
}
