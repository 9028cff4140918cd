//! Servers of one name on several nodes, from within an actor (`multi_call`, `abcast`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::{AnswerError, Pending, Protocol, ServerRef, Term};
use crate::id::{NodeId, ProcessName};
use crate::process::{ActorContext, Lane, Signal};
use crate::time::Duration;

/// The servers that are registered under one name on several nodes, and speak `P`.
///
/// ```
/// use core::time::Duration;
/// use partisan_proto::behaviour::{PendingAll, Protocol, Servers};
/// use partisan_proto::process::{Actor, ActorContext, Input};
///
/// # struct Counter;
/// # impl Protocol for Counter {
/// #     type Call = ();
/// #     type Reply = u64;
/// #     type Cast = u64;
/// # }
/// /// Adds up what all counters say.
/// #[derive(Debug)]
/// struct Sum {
///     counters: Servers<Counter>,
///     asked: Option<PendingAll<u64>>,
/// }
///
/// impl Actor for Sum {
///     fn start(&mut self, cx: &mut ActorContext<'_>) {
///         self.asked = self.counters.call(cx, &(), Some(Duration::from_secs(5))).ok();
///     }
///
///     fn handle(&mut self, _: &mut ActorContext<'_>, input: Input) {
///         let (Some(asked), Input::Signal(signal)) = (&mut self.asked, &input) else { return };
///         asked.take(signal);
///         if let Some(answers) = asked.answers() {
///             let sum: u64 = answers.replies.iter().map(|(_, count)| count).sum();
///             println!("{sum}, and {} nodes did not answer", answers.bad_nodes.len());
///         }
///     }
/// }
/// ```
pub struct Servers<P> {
    nodes: Vec<NodeId>,
    name: ProcessName,
    lane: Lane,
    protocol: core::marker::PhantomData<fn() -> P>,
}

/// Calls of several servers that wait for their answers.
#[derive(Debug)]
pub struct PendingAll<R> {
    left: BTreeMap<u64, (NodeId, Pending<R>)>,
    answers: Option<Answers<R>>,
}

/// What came of asking several servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers<R> {
    /// What was answered, in the order in which it came.
    pub replies: Vec<(NodeId, R)>,
    /// Who did not answer, and why.
    pub bad_nodes: Vec<(NodeId, AnswerError)>,
}

impl<P: Protocol> Servers<P> {
    /// The servers of this name on these nodes. Nothing checks that they are there or speak `P`.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>, name: ProcessName) -> Self {
        let (nodes, lane) = (nodes.into_iter().collect(), Lane::default());
        Self { nodes, name, lane, protocol: core::marker::PhantomData }
    }

    /// The same with everything on this lane.
    #[must_use]
    pub const fn on(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Each of them by itself, in the order of the nodes.
    pub fn each(&self) -> impl Iterator<Item = ServerRef<P>> {
        let named = |node: &NodeId| ServerRef::named(*node, self.name.clone()).on(self.lane);
        self.nodes.iter().map(named)
    }

    /// Asks all at once, within one timeout (`gen_server:multi_call/4`); [`PendingAll::take`] reads
    /// the signals that end it. Answers that come late are dropped.
    ///
    /// # Errors
    /// When the call does not serialise; then nobody is asked.
    pub fn call(
        &self,
        cx: &mut ActorContext<'_>,
        call: &P::Call,
        timeout: Option<Duration>,
    ) -> Result<PendingAll<P::Reply>, postcard::Error> {
        let mut left = BTreeMap::new();
        for (node, server) in self.nodes.iter().zip(self.each()) {
            let pending = server.call(cx, call, timeout)?;
            left.insert(pending.number(), (*node, pending));
        }
        let answers = Answers { replies: Vec::new(), bad_nodes: Vec::new() };
        Ok(PendingAll { left, answers: Some(answers) })
    }

    /// Tells all (`gen_server:abcast/3`).
    ///
    /// # Errors
    /// When the cast does not serialise; then nobody is told.
    pub fn cast(&self, cx: &mut ActorContext<'_>, cast: &P::Cast) -> Result<(), postcard::Error> {
        self.each().try_for_each(|server| server.cast(cx, cast))
    }
}

impl<R: Term> PendingAll<R> {
    /// Takes in a signal; whether it was the end of one of these calls.
    pub fn take(&mut self, signal: &Signal) -> bool {
        let Some(number) = signal.number() else { return false };
        let answer = self.left.get(&number).and_then(|(_, pending)| pending.answer(signal));
        let (Some(answer), Some(answers)) = (answer, &mut self.answers) else { return false };
        let Some((node, _)) = self.left.remove(&number) else { return false };
        match answer {
            Ok(reply) => answers.replies.push((node, reply)),
            Err(error) => answers.bad_nodes.push((node, error)),
        }
        true
    }

    /// What came of it, once, when all calls are over; at once where nobody was asked.
    pub fn answers(&mut self) -> Option<Answers<R>> {
        self.answers.take_if(|_| self.left.is_empty())
    }

    /// Gives up those that are not answered yet: no answer of them comes after this.
    pub fn abandon(self, cx: &mut ActorContext<'_>) {
        self.left.into_keys().for_each(|number| cx.abandon(number));
    }
}

impl<P> Clone for Servers<P> {
    fn clone(&self) -> Self {
        let Self { nodes, name, lane, protocol } = self;
        Self { nodes: nodes.clone(), name: name.clone(), lane: *lane, protocol: *protocol }
    }
}

impl<P> fmt::Debug for Servers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.name, self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallError, Failure};
    use crate::process::{Actor, Effect, Input, ProcessAct, Solo};
    use alloc::vec;

    #[derive(Debug)]
    struct Counter;

    impl Protocol for Counter {
        type Call = ();
        type Reply = u64;
        type Cast = u64;
    }

    /// Asks all, and keeps the answers.
    #[derive(Debug)]
    struct Asker {
        counters: Servers<Counter>,
        asked: Option<PendingAll<u64>>,
        answers: Option<Answers<u64>>,
    }

    impl Actor for Asker {
        fn start(&mut self, cx: &mut ActorContext<'_>) {
            self.counters.cast(cx, &3).unwrap();
            let mut asked = self.counters.call(cx, &(), Some(Duration::from_secs(5))).unwrap();
            self.answers = asked.answers();
            self.asked = Some(asked);
        }

        fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
            match (input, &mut self.asked) {
                (Input::Signal(signal), Some(asked)) => {
                    asked.take(&signal);
                    self.answers = self.answers.take().or_else(|| asked.answers());
                }
                // Any message makes it give up.
                (_, asked) => asked.take().unwrap().abandon(cx),
            }
        }
    }

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(number)
    }

    /// It has asked so many nodes, by calls of these numbers.
    fn asked(nodes: u64) -> (Solo<Asker>, Vec<u64>) {
        let counters = Servers::new((1..=nodes).map(node), ProcessName::new("c").unwrap());
        let mut solo = Solo::start(Asker { counters, asked: None, answers: None });
        let (mut told, mut numbers) = (0, Vec::new());
        for effect in solo.take_effects() {
            match effect {
                Effect::Send(send) => {
                    told += 1;
                    assert_eq!(send.to, node(told));
                }
                Effect::Act(ProcessAct::Call { number, server, timeout, .. }) => {
                    numbers.push(number);
                    assert_eq!(server.node(), node(numbers.len() as u64));
                    assert_eq!(timeout, Some(Duration::from_secs(5)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((told, numbers.len() as u64), (nodes, nodes));
        (solo, numbers)
    }

    fn reply(value: u64) -> Result<bytes::Bytes, CallError> {
        Ok(postcard::to_allocvec(&value).unwrap().into())
    }

    #[test]
    fn the_answers_of_all_come_together_with_those_who_did_not_answer() {
        let (mut solo, numbers) = asked(3);
        let gone = CallError::Failed(Failure::NoProcess);
        let results = [reply(7), Err(gone.clone()), reply(9)];
        for (number, result) in numbers.iter().zip(results).rev() {
            assert_eq!(solo.actor().answers, None);
            solo.signal(Signal::Answer { number: *number, result });
            solo.run();
        }
        let expected = Answers {
            replies: vec![(node(3), 9), (node(1), 7)],
            bad_nodes: vec![(node(2), AnswerError::Call(gone))],
        };
        assert_eq!(solo.actor().answers, Some(expected));
    }

    #[test]
    fn whoever_asks_nobody_has_the_answer() {
        let (solo, _) = asked(0);
        assert_eq!(solo.actor().answers, Some(Answers { replies: vec![], bad_nodes: vec![] }));
    }

    #[test]
    fn what_ends_other_calls_is_not_taken() {
        let (mut solo, numbers) = asked(1);
        let mut pending = PendingAll::<u64> { left: BTreeMap::new(), answers: None };
        assert!(!pending.take(&Signal::Answer { number: numbers[0], result: reply(1) }));
        solo.signal(Signal::Answer { number: numbers[0] + 1, result: reply(1) });
        solo.run();
        assert_eq!(solo.actor().answers, None);
    }

    #[test]
    fn whoever_gives_up_is_told_nothing_more() {
        let (mut solo, numbers) = asked(2);
        solo.signal(Signal::Answer { number: numbers[0], result: reply(1) });
        solo.message("stop");
        solo.run();
        let abandoned = solo.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::Act(ProcessAct::Abandon { number }) => Some(number),
            _ => None,
        });
        assert_eq!(abandoned.collect::<Vec<_>>(), numbers[1..]);
    }
}
