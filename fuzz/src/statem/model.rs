//! The naive model of state machines: the rules of `gen_statem` written down once more, as simply as
//! can be, without regard to what it costs.

use std::collections::BTreeMap;

use super::machine::{Deed, Delay, Entry, Kind, Line, Manners, Move, Note, OBEYS, State};

/// An event as the model knows it: what kind, what it carries, and the call that it is.
#[derive(Clone, Debug)]
struct Happening {
    what: &'static str,
    note: Note,
    call: Option<usize>,
}

/// What is in the mailbox, or will be.
#[derive(Clone, Debug)]
enum Arrival {
    Happening(Happening),
    /// The timer of this number.
    Timer(usize),
}

/// A timeout that runs: of which kind, with the number of its timer (`None` for one of zero).
#[derive(Clone, Debug)]
struct Running {
    kind: Kind,
    timer: Option<usize>,
    content: Note,
}

/// The model.
#[derive(Debug)]
pub(super) struct Model {
    enters: bool,
    manners: Manners,
    repeated: BTreeMap<State, u64>,
    obeyed: usize,
    state: State,
    queue: Vec<Happening>,
    postponed: Vec<Happening>,
    /// In the order in which they were started.
    running: Vec<Running>,
    /// Due when, which.
    timers: Vec<(u64, usize)>,
    started: usize,
    mailbox: Vec<Arrival>,
    now: u64,
    pub(super) log: Vec<Line>,
    /// Of each call.
    pub(super) replies: BTreeMap<usize, u8>,
    pub(super) ended: bool,
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "timeout",
        Kind::State => "state_timeout",
        Kind::G => "{timeout,g}",
        Kind::X => "{timeout,x}",
        Kind::Y => "{timeout,y}",
    }
}

impl Model {
    pub(super) fn new(enters: bool, manners: Manners) -> Self {
        let mut model = Self {
            enters,
            manners,
            repeated: BTreeMap::new(),
            obeyed: 0,
            state: State::S,
            queue: Vec::new(),
            postponed: Vec::new(),
            running: Vec::new(),
            timers: Vec::new(),
            started: 0,
            mailbox: Vec::new(),
            now: 0,
            log: Vec::new(),
            replies: BTreeMap::new(),
            ended: false,
        };
        let deeds = model.manners.init.clone();
        model.transit(None, Move::Keep, deeds, true);
        model.before_mailbox();
        model
    }

    pub(super) fn put(&mut self, what: &'static str, note: Note, call: Option<usize>) {
        self.mailbox.push(Arrival::Happening(Happening { what, note, call }));
    }

    /// Lets time pass, and it take all that comes.
    pub(super) fn advance(&mut self, span: u64) {
        let until = self.now + span;
        loop {
            while !self.ended && !self.mailbox.is_empty() {
                match self.mailbox.remove(0) {
                    Arrival::Happening(happening) => self.handle(happening),
                    Arrival::Timer(timer) => self.timer(timer),
                }
                self.before_mailbox();
            }
            let first = self.timers.iter().copied().min();
            match first {
                Some((due, timer)) if due <= until && !self.ended => {
                    self.timers.retain(|(_, other)| *other != timer);
                    self.now = self.now.max(due);
                    self.mailbox.push(Arrival::Timer(timer));
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn timer(&mut self, timer: usize) {
        let Some(place) = self.running.iter().position(|running| running.timer == Some(timer))
        else {
            return;
        };
        let Running { kind, content, .. } = self.running.remove(place);
        self.handle(Happening { what: name(kind), note: content, call: None });
    }

    /// All that comes before the mailbox.
    fn before_mailbox(&mut self) {
        while !self.ended {
            if !self.queue.is_empty() {
                let next = self.queue.remove(0);
                self.handle(next);
            } else if let Some(place) =
                self.running.iter().position(|running| running.timer.is_none())
            {
                let Running { kind, content, .. } = self.running.remove(place);
                self.handle(Happening { what: name(kind), note: content, call: None });
            } else {
                return;
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        self.running.retain(|running| running.kind != Kind::Event);
        self.log.push((self.state, happening.what, happening.note.label.clone()));
        self.obeyed += 1;
        let reaction = happening.note.reactions.get(&self.state).cloned();
        match reaction.filter(|_| self.obeyed <= OBEYS) {
            Some(reaction) => self.transit(Some(happening), reaction.to, reaction.deeds, false),
            None => self.transit(Some(happening), Move::Keep, Vec::new(), false),
        }
    }

    /// Goes where it is told, with what else it is told to do.
    fn transit(&mut self, of: Option<Happening>, to: Move, mut deeds: Vec<Deed>, first: bool) {
        let call = of.as_ref().and_then(|happening| happening.call);
        for deed in &deeds {
            if let (Deed::Reply(reply), Some(call)) = (deed, call) {
                self.replies.entry(call).or_insert(*reply);
            }
        }
        if to == Move::Stop {
            return self.end();
        }
        let old = self.state;
        let new = if let Move::Next(state) = to { state } else { old };
        if self.enters && (first || new != old || to == Move::Repeat) {
            let stops = self.enter(old, new, &mut deeds);
            self.state = new;
            if stops {
                return self.end();
            }
        }
        self.state = new;
        if let Some(event) = of {
            let last = deeds.iter().rev().find_map(|deed| match deed {
                Deed::Postpone(on) => Some(*on),
                _ => None,
            });
            if last == Some(true) {
                self.postponed.push(event);
            }
        }
        if new != old {
            self.running.retain(|running| running.kind != Kind::State);
            let queue = std::mem::take(&mut self.queue);
            self.queue = std::mem::take(&mut self.postponed);
            self.queue.extend(queue);
        }
        let inserted = deeds.iter().filter_map(|deed| match deed {
            Deed::Insert(note) => {
                Some(Happening { what: "internal", note: note.clone(), call: None })
            }
            _ => None,
        });
        self.queue = inserted.chain(std::mem::take(&mut self.queue)).collect();
        self.do_timeouts(&deeds);
    }

    /// Enters a state; adds what that does, and says whether it stops.
    fn enter(&mut self, old: State, new: State, deeds: &mut Vec<Deed>) -> bool {
        loop {
            self.log.push((new, "enter", format!("{old:?}")));
            let Some(Entry { repeats, stops, deeds: more }) = self.manners.enter.get(&new) else {
                return false;
            };
            let timeouts = more.iter().filter(|deed| kind_of(deed).is_some());
            deeds.extend(timeouts.cloned());
            let repeated = self.repeated.entry(new).or_default();
            if *stops || *repeated >= *repeats {
                return *stops;
            }
            *repeated += 1;
        }
    }

    /// Of several deeds about one kind the last counts.
    fn do_timeouts(&mut self, deeds: &[Deed]) {
        for (place, deed) in deeds.iter().enumerate() {
            let Some(kind) = kind_of(deed) else {
                continue;
            };
            if deeds[place + 1..].iter().any(|later| kind_of(later) == Some(kind)) {
                continue;
            }
            match deed {
                Deed::Start(_, delay, note) => self.start(kind, *delay, note.clone()),
                Deed::Update(_, note) => {
                    match self.running.iter_mut().find(|running| running.kind == kind) {
                        Some(running) => running.content = note.clone(),
                        None => self.start(kind, Delay::After(0), note.clone()),
                    }
                }
                _ => self.running.retain(|running| running.kind != kind),
            }
        }
    }

    fn start(&mut self, kind: Kind, delay: Delay, content: Note) {
        self.running.retain(|running| running.kind != kind);
        let due = match delay {
            Delay::After(0) => None,
            Delay::After(after) => Some(self.now + after),
            Delay::At(at) => Some(at.max(self.now)),
        };
        let timer = due.map(|due| {
            self.started += 1;
            self.timers.push((due, self.started));
            self.started
        });
        self.running.push(Running { kind, timer, content });
    }

    fn end(&mut self) {
        self.ended = true;
        self.log.push((self.state, "terminate", "normal".to_owned()));
    }
}

const fn kind_of(deed: &Deed) -> Option<Kind> {
    match deed {
        Deed::Start(kind, ..) | Deed::Update(kind, _) | Deed::Cancel(kind) => Some(*kind),
        Deed::Postpone(_) | Deed::Insert(_) | Deed::Reply(_) => None,
    }
}
