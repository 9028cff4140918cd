//! Two connected nodes with processes, and all that processes and a hostile peer may do; beside a
//! naive model of who lives and what each waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::Arbitrary;
use partisan_proto::process::{MonitorId, RequestId, SpawnOptions};
use partisan_proto::wire::{ControlMessage, Frame, ProcessMessage};
use partisan_proto::{
    Action, Command, Config, Duration, Event, ExitReason, ProcessAct, ProcessId, Serial, Signal,
    Target, Ticket,
};

use crate::arena::{Arena, Outcome};
use crate::watch::{Watched, config};

const MOST_MOVES: usize = 400;
/// How many numbers processes have at most: few, so that they meet.
const SERIALS: u64 = 6;

/// What a fuzzer makes up.
#[derive(Debug, Arbitrary)]
pub(crate) struct Script {
    moves: Vec<Move>,
}

#[derive(Debug, Arbitrary)]
enum Move {
    /// Time passes, in milliseconds.
    Wait(u16),
    /// So many things that are under way happen, in order.
    Run(u8),
    /// A link breaks.
    Cut(u8),
    /// A node's process comes to life; trapping exits, linked to another.
    Spawn(bool, bool, Option<u8>),
    /// A node's process does something; to the process of this number on this node, where it is
    /// about another.
    Act(bool, u8, ProcessAct, Option<(bool, u8)>),
    /// A node's peer says this, which it never did.
    Say(bool, ProcessMessage),
    /// A node's peer sends this frame, which it never did, by a lane.
    Send(bool, u8, Frame),
    /// A node leaves, or joins again.
    Leave(bool),
    /// See above.
    Join(bool),
}

/// What the processes of a node wait for, as far as anybody outside can tell.
#[derive(Default)]
struct Model {
    last: u64,
    living: BTreeSet<Serial>,
    /// By process and number.
    expected: BTreeSet<(Serial, u64)>,
    numbers: BTreeMap<Serial, u64>,
}

struct Game {
    arena: Arena,
    models: [Model; 2],
}

/// Small limits, so that a script reaches them.
fn limited() -> Config {
    let mut config = Config::clone(&config(false));
    config.processes.max_processes = 16;
    config.processes.max_monitors = 8;
    config.processes.max_links = 8;
    config.processes.max_timers = 4;
    config.calls.max_asked = 8;
    config.calls.max_served = 4;
    config.delivery.max_waiting = 4;
    config.delivery.max_outstanding = 8;
    config
}

/// Plays the script; panics when a node breaks a promise.
pub(crate) fn run(script: &Script) -> Outcome {
    let config = Arc::new(limited());
    let start = |name, port| Watched::start_as(name, port, config.clone(), Vec::new());
    let arena = Arena::new([start("a", 1), start("b", 2)]);
    let mut game = Game { arena, models: [Model::default(), Model::default()] };
    game.arena.join(false);
    (0..80).for_each(|_| game.arena.proceed());
    for step in script.moves.iter().take(MOST_MOVES) {
        let before = game.arena.actions.len();
        game.play(step);
        game.judge(before);
    }
    game.end_all();
    game.arena.end()
}

impl Game {
    fn play(&mut self, step: &Move) {
        match step {
            Move::Wait(milliseconds) => {
                self.arena.wait(Duration::from_millis((*milliseconds).into()));
            }
            Move::Run(times) => (0..*times).for_each(|_| self.arena.proceed()),
            Move::Cut(which) => self.arena.cut(*which),
            Move::Spawn(which, trap, link) => self.spawn(usize::from(*which), *trap, *link),
            Move::Act(which, serial, act, about) => {
                self.act(usize::from(*which), serial_of(*serial), act.clone(), *about);
            }
            Move::Say(which, message) => {
                let message = ControlMessage::Process(tame(message.clone()).into());
                self.receive(usize::from(*which), 0, Frame::Control(message));
            }
            Move::Send(which, place, frame) => {
                let frame = match frame.clone() {
                    Frame::Signal(message) => Frame::Signal(tame(*message).into()),
                    Frame::Reply { mut header, payload } => {
                        header.birth = partisan_proto::Incarnation(1);
                        let RequestId { owner, number } = header.request;
                        header.request =
                            RequestId { owner: Serial(owner.0 % SERIALS), number: number % 16 };
                        Frame::Reply { header, payload }
                    }
                    other => other,
                };
                self.receive(usize::from(*which), *place, frame);
            }
            Move::Leave(which) => {
                let (ticket, command) = (Ticket(0), Command::Leave);
                self.arena.handle(usize::from(*which), Event::Command { ticket, command });
            }
            Move::Join(which) => self.arena.join(*which),
        }
    }

    fn spawn(&mut self, node: usize, trap_exit: bool, link: Option<u8>) {
        let model = &mut self.models[node];
        if model.living.len() >= SERIALS as usize {
            return;
        }
        model.last += 1;
        let process = Serial(model.last);
        let link = link.map(serial_of);
        let options = SpawnOptions { link, trap_exit, ..SpawnOptions::default() };
        model.living.insert(process);
        let command = Command::Spawn { process, options };
        self.arena.handle(node, Event::Command { ticket: Ticket(0), command });
    }

    /// A process does something, with a number of its own that it never used, as the core demands.
    fn act(
        &mut self,
        node: usize,
        process: Serial,
        mut act: ProcessAct,
        about: Option<(bool, u8)>,
    ) {
        let other = about.map(|(which, serial)| self.process(usize::from(which), serial));
        let model = &mut self.models[node];
        let lives = model.living.contains(&process);
        let fresh = model.numbers.entry(process).or_default();
        match &mut act {
            ProcessAct::Monitor { number, target, .. }
            | ProcessAct::SendAfter { number, target, .. }
            | ProcessAct::SendAt { number, target, .. } => {
                *fresh += 1;
                *number = *fresh;
                if let Some(other) = other {
                    *target = Target::Process(other);
                }
            }
            ProcessAct::MonitorNode { number, .. }
            | ProcessAct::Call { number, .. }
            | ProcessAct::AwaitMembers { number, .. } => {
                *fresh += 1;
                *number = *fresh;
            }
            ProcessAct::Demonitor { number }
            | ProcessAct::Abandon { number }
            | ProcessAct::CancelTimer { number } => {
                *number %= *fresh + 1;
            }
            ProcessAct::Link(whom) | ProcessAct::Unlink(whom) => *whom = other.unwrap_or(*whom),
            ProcessAct::Exit { target, .. } => {
                if let Some(other) = other {
                    *target = Target::Process(other);
                }
            }
            _ => {}
        }
        if lives {
            self.note(node, process, &act);
        }
        self.arena.handle(node, Event::Process { process, act: act.into() });
    }

    fn note(&mut self, node: usize, process: Serial, act: &ProcessAct) {
        let model = &mut self.models[node];
        match act {
            ProcessAct::Monitor { number, .. }
            | ProcessAct::MonitorNode { number, .. }
            | ProcessAct::Call { number, .. }
            | ProcessAct::SendAfter { number, .. }
            | ProcessAct::SendAt { number, .. }
            | ProcessAct::AwaitMembers { number, .. } => {
                model.expected.insert((process, *number));
            }
            ProcessAct::Ended(_) => model.end(process),
            _ => {}
        }
    }

    fn process(&self, node: usize, serial: u8) -> ProcessId {
        let instance = self.arena.nodes[node].node.instance();
        let birth = partisan_proto::Incarnation(1);
        ProcessId { node: instance.node, birth, serial: serial_of(serial) }
    }

    fn receive(&mut self, node: usize, place: u8, frame: Frame) {
        let connections: Vec<_> = {
            let peers = self.arena.nodes[node].node.routes().peers();
            peers.flat_map(|peer| peer.connections()).collect()
        };
        if let Some(connection) = connections.get(usize::from(place) % connections.len().max(1)) {
            self.arena.handle(node, Event::Received { connection: *connection, frame });
        }
    }

    /// Everything that was told since `before` was waited for, by somebody who lived, and not told
    /// before.
    fn judge(&mut self, before: usize) {
        for (node, action) in &self.arena.actions[before..] {
            let model = &mut self.models[*node];
            match action {
                Action::End { process, .. } => {
                    assert!(model.living.contains(process), "{process:?} ends twice");
                    model.end(*process);
                }
                Action::Signal { process, signal } => {
                    let number = match signal {
                        Signal::Down { number, .. }
                        | Signal::NodeLost { number, .. }
                        | Signal::Answer { number, .. }
                        | Signal::Timer { number, .. }
                        | Signal::Members { number, .. } => *number,
                        _ => continue,
                    };
                    // One that ended in the same turn hears nothing more.
                    let due = model.expected.remove(&(*process, number));
                    assert!(due || !model.living.contains(process), "{process:?}: {signal:?}");
                }
                _ => {}
            }
        }
    }

    /// When all processes have ended nothing is left of them.
    fn end_all(&mut self) {
        for node in 0..2 {
            for process in self.models[node].living.clone() {
                let before = self.arena.actions.len();
                self.note(node, process, &ProcessAct::Ended(ExitReason::Normal));
                let act = ProcessAct::Ended(ExitReason::Normal).into();
                self.arena.handle(node, Event::Process { process, act });
                self.judge(before);
            }
            let counts = self.arena.nodes[node].node.process_counts();
            let left = (counts.processes, counts.names, counts.monitors, counts.subscriptions);
            assert_eq!((left, counts.timers), ((0, 0, 0, 0), 0), "all ended");
            assert_eq!(self.arena.nodes[node].node.calls().0, 0, "nobody asks");
        }
    }
}

impl Model {
    fn end(&mut self, process: Serial) {
        self.living.remove(&process);
        self.expected.retain(|(owner, _)| *owner != process);
    }
}

fn serial_of(number: u8) -> Serial {
    Serial(1 + u64::from(number) % SERIALS)
}

/// The same about monitors and requests that are likely to be there.
fn tame(message: ProcessMessage) -> ProcessMessage {
    let near = |MonitorId { owner, number }: MonitorId| MonitorId {
        owner: Serial(owner.0 % SERIALS),
        number: number % 16,
    };
    match message {
        ProcessMessage::Down { monitor, reason } => {
            ProcessMessage::Down { monitor: near(monitor), reason }
        }
        ProcessMessage::Demonitor { monitor } => {
            ProcessMessage::Demonitor { monitor: near(monitor) }
        }
        ProcessMessage::DownSeen { monitor } => ProcessMessage::DownSeen { monitor: near(monitor) },
        other => other,
    }
}
