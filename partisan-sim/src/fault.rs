//! Faults as data, drawn from the seed before the run.

use partisan_proto::{Duration, Instant};

use crate::draw::{Label, Stream};
use crate::network::{Cut, Death};
use crate::world::{Restart, World};

/// Something that goes wrong, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node dies, and may come back.
    Crash {
        /// Which.
        node: usize,
        /// How its peers notice.
        death: Death,
        /// When it comes back, and with what; `None` for not before everything is healed.
        restart: Option<(Duration, Restart)>,
    },
    /// A node's time stands still.
    Pause {
        /// Which.
        node: usize,
        /// For how long.
        span: Duration,
    },
    /// Groups of nodes lose each other.
    Partition {
        /// Who stays with whom.
        groups: Vec<Vec<usize>>,
        /// In both directions, or only from the first group to the others.
        symmetric: bool,
        /// For how long.
        span: Duration,
    },
    /// All connections between two nodes die.
    CutConnection {
        /// One node.
        a: usize,
        /// The other.
        b: usize,
        /// How.
        how: Cut,
    },
    /// Dials to a node are refused.
    RefuseDials {
        /// Which.
        node: usize,
        /// For how long.
        span: Duration,
    },
    /// Dials to a node are not answered.
    BlackHole {
        /// Which.
        node: usize,
        /// For how long.
        span: Duration,
    },
    /// Open connections in one direction stall.
    Clog {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// For how long.
        span: Duration,
    },
    /// Connections in one direction are slow.
    Slow {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// How slow.
        bytes_per_second: u64,
        /// For how long.
        span: Duration,
    },
    /// The end of one of the above.
    Cure(Cure),
}

/// What ends a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each ends the fault of the same fields")]
pub enum Cure {
    Start { node: usize, how: Restart },
    Resume { node: usize },
    Heal,
    AcceptDials { node: usize },
    AnswerDials { node: usize },
    Unclog { from: usize, to: usize },
    Hasten { from: usize, to: usize },
}

impl Fault {
    /// What kind it is, in a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::CutConnection { .. } => "cut",
            Self::RefuseDials { .. } => "refusal",
            Self::BlackHole { .. } => "black hole",
            Self::Clog { .. } => "clog",
            Self::Slow { .. } => "slow link",
            Self::Cure(_) => "cure",
        }
    }

    /// Lets it happen.
    pub fn strike(self, world: &mut World) {
        let now = world.now();
        if let Some(trace) = &mut world.trace {
            trace.note(now, None, &format!("{self:?}"));
        }
        match self {
            Self::Crash { node, death, restart } => {
                world.crash_as(node, death);
                if let Some((after, how)) = restart {
                    world.plan_fault(now + after, Self::Cure(Cure::Start { node, how }));
                }
            }
            Self::Pause { node, span } => {
                world.pause(node);
                world.plan_fault(now + span, Self::Cure(Cure::Resume { node }));
            }
            Self::Partition { groups, symmetric, span } => {
                world.network_mut().partition(&groups, symmetric);
                world.plan_fault(now + span, Self::Cure(Cure::Heal));
            }
            Self::CutConnection { a, b, how } => world.cut(a, b, how),
            Self::RefuseDials { node, span } => {
                world.network_mut().refuse_dials(node, true);
                world.plan_fault(now + span, Self::Cure(Cure::AcceptDials { node }));
            }
            Self::BlackHole { node, span } => {
                world.network_mut().black_hole(node, true);
                world.plan_fault(now + span, Self::Cure(Cure::AnswerDials { node }));
            }
            Self::Clog { from, to, span } => {
                world.clog(from, to, true);
                world.plan_fault(now + span, Self::Cure(Cure::Unclog { from, to }));
            }
            Self::Slow { from, to, bytes_per_second, span } => {
                world.network_mut().slow(from, to, Some(bytes_per_second));
                world.plan_fault(now + span, Self::Cure(Cure::Hasten { from, to }));
            }
            Self::Cure(cure) => cure.work(world),
        }
    }
}

impl Cure {
    fn work(self, world: &mut World) {
        match self {
            Self::Start { node, how } => world.restart(node, how),
            Self::Resume { node } => world.resume(node),
            Self::Heal => world.heal(),
            Self::AcceptDials { node } => world.network_mut().refuse_dials(node, false),
            Self::AnswerDials { node } => world.network_mut().black_hole(node, false),
            Self::Unclog { from, to } => world.clog(from, to, false),
            Self::Hasten { from, to } => world.network_mut().slow(from, to, None),
        }
    }
}

/// A class of faults, switched on or off as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[allow(missing_docs, reason = "named as the faults")]
pub enum FaultClass {
    Crash,
    Pause,
    Partition,
    Cut,
    Refuse,
    BlackHole,
    Clog,
    Slow,
}

impl FaultClass {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Crash,
        Self::Pause,
        Self::Partition,
        Self::Cut,
        Self::Refuse,
        Self::BlackHole,
        Self::Clog,
        Self::Slow,
    ];
}

/// The faults of a run of `nodes` nodes that lasts for `span`: each of the classes is first
/// switched on or off, then how often it strikes, when, whom and for how long.
#[must_use]
pub fn draw_faults(
    seed: u64,
    nodes: usize,
    span: Duration,
    classes: &[FaultClass],
) -> Vec<(Instant, Fault)> {
    let mut plan = Vec::new();
    for class in classes {
        // A stream for each class: leaving one out does not change the others.
        let mut stream = Stream::new(seed, Label::Faults, *class as u64);
        if nodes < 2 || stream.one_in(2) {
            continue;
        }
        let strikes = 1 + stream.below(2 + (span.as_secs() / 10) as usize);
        for _ in 0..strikes {
            let at = Instant::ZERO + stream.span(Duration::ZERO, span);
            plan.push((at, draw_fault(&mut stream, *class, nodes)));
        }
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

fn draw_fault(stream: &mut Stream, class: FaultClass, nodes: usize) -> Fault {
    let node = stream.below(nodes);
    let other = (node + 1 + stream.below(nodes - 1)) % nodes;
    let span = stream.span(Duration::from_millis(10), Duration::from_secs(20));
    match class {
        FaultClass::Crash => {
            let death = [Death::Process, Death::Machine, Death::Drawn][stream.below(3)];
            let (keep_state, new_address) = (!stream.one_in(3), stream.one_in(4));
            let restart = Restart { keep_state, new_address };
            let returns = !stream.one_in(4);
            Fault::Crash { node, death, restart: returns.then_some((span, restart)) }
        }
        FaultClass::Pause => Fault::Pause { node, span },
        FaultClass::Partition => {
            let mut groups = vec![Vec::new(), Vec::new()];
            for node in 0..nodes {
                groups[stream.below(2)].push(node);
            }
            Fault::Partition { groups, symmetric: !stream.one_in(3), span }
        }
        FaultClass::Cut => {
            let how = [Cut::Reset, Cut::Silent, Cut::OneSide][stream.below(3)];
            Fault::CutConnection { a: node, b: other, how }
        }
        FaultClass::Refuse => Fault::RefuseDials { node, span },
        FaultClass::BlackHole => Fault::BlackHole { node, span },
        FaultClass::Clog => Fault::Clog { from: node, to: other, span },
        FaultClass::Slow => {
            let bytes_per_second = 1_000 << stream.below(8);
            Fault::Slow { from: node, to: other, bytes_per_second, span }
        }
    }
}
