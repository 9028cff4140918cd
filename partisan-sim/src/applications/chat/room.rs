//! One node's copy of the room.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Next, Protocol, ServerRef, StoreAnswer, StoreQuestion,
};
use partisan_proto::process::ActorContext;
use partisan_proto::wire::read_whole;
use partisan_proto::{Broadcast, Duration, HandlerId, ProcessId, Signal};
use serde::{Deserialize, Serialize};

use super::{handler_name, server_name};
use crate::applications::asked::Asked;
use crate::applications::kv::{Context, Dot};

/// The longest line, and the longest nickname, in bytes.
pub const MAX_TEXT: usize = 1_024;
/// How many lines a room takes; then it is full.
pub const MAX_LINES: usize = 65_536;
/// The most lines that wait for those that they follow.
pub const MAX_WAITING: usize = 4_096;
/// The most members on one node.
pub const MAX_MEMBERS: usize = 1_024;
/// The most lines in one answer.
const PAGE: usize = 256;
/// How long another node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// By which copy of the room, and as its how manieth.
    pub dot: Dot,
    /// What that copy had shown by then: this line comes after all of it.
    pub after: Context,
    /// Who.
    pub nick: String,
    /// What.
    pub text: String,
}

/// What the room can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChatCall {
    /// Come in: this process of the same node is sent each line that is shown from now on, a
    /// [`Line`] in the postcard format. Answered by [`ChatReply::Lines`], some of the newest.
    Enter(ProcessId),
    /// Say something, under a nickname: answered by [`ChatReply::Said`].
    Say(String, String),
    /// Which lines are shown, from the so manieth on? Answered by [`ChatReply::Lines`]; an empty
    /// list is the end.
    Read(usize),
    /// What is shown, in short? Answered by [`ChatReply::Shown`].
    Shown,
    /// Another copy has shown this, and wants what it lacks: answered by [`ChatReply::Differs`].
    Compare(Context),
    /// Another copy has these, and thinks that they lack here: answered by [`ChatReply::Done`].
    Take(Vec<Line>),
    /// About broadcasts: answered by [`ChatReply::Store`].
    Store(StoreQuestion),
}

/// What the room answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChatReply {
    /// It is shown here, and on its way to the others.
    Said(Dot),
    /// The line or the nickname is too long, or nobody of that node.
    Refused,
    /// The room is full.
    Full,
    /// Lines, in the order in which they are shown.
    Lines(Vec<Line>),
    /// What is shown.
    Shown(Context),
    /// What is shown here, and some of what the other lacks.
    Differs(Context, Vec<Line>),
    /// So be it.
    Done,
    /// About broadcasts.
    Store(StoreAnswer),
}

impl From<StoreQuestion> for ChatCall {
    fn from(question: StoreQuestion) -> Self {
        Self::Store(question)
    }
}

impl TryFrom<ChatReply> for StoreAnswer {
    type Error = ChatReply;

    fn try_from(reply: ChatReply) -> Result<Self, ChatReply> {
        match reply {
            ChatReply::Store(answer) => Ok(answer),
            other => Err(other),
        }
    }
}

/// One node's copy of the room.
#[derive(Debug, Default)]
pub struct Room {
    /// In the order in which they were shown.
    lines: Vec<Line>,
    places: BTreeMap<Dot, usize>,
    shown: Context,
    /// Lines that follow others which are not here yet.
    waiting: BTreeMap<Dot, Line>,
    members: BTreeSet<ProcessId>,
    /// The monitors of members.
    watched: BTreeMap<u64, ProcessId>,
    /// Comparisons with other copies, each with who wants to know when it is over.
    comparisons: Asked<ChatReply, (ServerRef<Self>, Caller<ChatReply>)>,
}

impl Room {
    fn say(&mut self, cx: &mut ActorContext<'_>, nick: String, text: String) -> ChatReply {
        if nick.len() > MAX_TEXT || text.len() > MAX_TEXT {
            return ChatReply::Refused;
        }
        let Some(dot) = self.shown.next(cx.me()).filter(|_| self.lines.len() < MAX_LINES) else {
            return ChatReply::Full;
        };
        let line = Line { dot, after: self.shown.clone(), nick, text };
        if let (Ok(key), Ok(payload)) = (postcard::to_allocvec(&dot), postcard::to_allocvec(&line))
        {
            let (handler, key, payload) =
                (HandlerId::of(&handler_name()), key.into(), payload.into());
            cx.broadcast(Broadcast { handler, key, payload });
        }
        self.show(cx, line);
        ChatReply::Said(dot)
    }

    fn enter(&mut self, cx: &mut ActorContext<'_>, member: ProcessId) -> ChatReply {
        if member.node != cx.me().node || self.members.len() >= MAX_MEMBERS {
            return ChatReply::Refused;
        }
        if self.members.insert(member) {
            self.watched.insert(cx.monitor(member), member);
        }
        let newest = self.lines.len().saturating_sub(PAGE);
        ChatReply::Lines(self.lines[newest..].to_vec())
    }

    fn show(&mut self, cx: &mut ActorContext<'_>, line: Line) {
        // It always serialises: all of it came in that way.
        if let Ok(payload) = postcard::to_allocvec(&line) {
            let payload = bytes::Bytes::from(payload);
            for member in &self.members {
                cx.send(&(*member).into(), payload.clone());
            }
        }
        self.shown.add(line.dot);
        self.places.insert(line.dot, self.lines.len());
        self.lines.push(line);
    }

    /// Whether all that a line follows is shown, and it is its author's next.
    fn is_due(&self, line: &Line) -> bool {
        self.shown.includes(&line.after) && self.shown.next(line.dot.writer) == Some(line.dot)
    }

    /// Takes a line, and shows it and what waited for it as soon as it may be.
    fn take(&mut self, cx: &mut ActorContext<'_>, line: Line) -> StoreAnswer {
        if self.shown.covers(&line.dot) || self.waiting.contains_key(&line.dot) {
            return StoreAnswer::Stale;
        }
        if self.waiting.len() >= MAX_WAITING && !self.is_due(&line) {
            // A comparison brings it again, after what it follows.
            return StoreAnswer::Failed;
        }
        self.waiting.insert(line.dot, line);
        while let Some(dot) = self.waiting.values().find(|line| self.is_due(line)).map(|l| l.dot) {
            if let Some(line) = self.waiting.remove(&dot) {
                self.show(cx, line);
            }
        }
        StoreAnswer::New
    }

    /// Some of the lines that are shown here and not there, in their order.
    fn lacking(&self, there: &Context) -> Vec<Line> {
        let lacking = self.lines.iter().filter(|line| !there.covers(&line.dot));
        lacking.take(PAGE).cloned().collect()
    }

    fn store(
        &mut self,
        cx: &mut ActorContext<'_>,
        caller: Caller<ChatReply>,
        question: StoreQuestion,
    ) -> CallResult<Self> {
        let dot = |key: &[u8]| read_whole::<Dot>(key);
        let answer = match question {
            StoreQuestion::Merge { payload, .. } => match read_whole(&payload) {
                Ok(line) => self.take(cx, line),
                Err(_) => StoreAnswer::Invalid,
            },
            StoreQuestion::IsStale { key } => match dot(&key) {
                Ok(dot) if !self.shown.covers(&dot) && !self.waiting.contains_key(&dot) => {
                    StoreAnswer::Missing
                }
                _ => StoreAnswer::Stale,
            },
            StoreQuestion::Fetch { key } => {
                let dot = dot(&key).ok();
                let shown = dot.and_then(|dot| self.places.get(&dot)).map(|at| &self.lines[*at]);
                let line = shown.or_else(|| dot.and_then(|dot| self.waiting.get(&dot)));
                match line.map(postcard::to_allocvec) {
                    Some(Ok(payload)) => StoreAnswer::Found(payload),
                    _ => StoreAnswer::Missing,
                }
            }
            StoreQuestion::Exchange { peer } => {
                let with = ServerRef::named(peer.node, server_name());
                return match self.ask(cx, (with, caller), &ChatCall::Compare(self.shown.clone())) {
                    true => CallResult::later(),
                    false => CallResult::reply(ChatReply::Store(StoreAnswer::Failed)),
                };
            }
        };
        CallResult::reply(ChatReply::Store(answer))
    }

    /// Asks another copy something; `false` where that cannot be said.
    fn ask(
        &mut self,
        cx: &mut ActorContext<'_>,
        (with, caller): (ServerRef<Self>, Caller<ChatReply>),
        call: &ChatCall,
    ) -> bool {
        let pending = with.call(cx, call, Some(PATIENCE));
        pending.map(|pending| self.comparisons.push(pending, (with, caller))).is_ok()
    }

    /// Another copy has answered, or will not.
    fn answered(&mut self, cx: &mut ActorContext<'_>, signal: &Signal) {
        let Some(((with, caller), answer)) = self.comparisons.take(signal) else {
            return;
        };
        let result = match answer {
            Ok(ChatReply::Differs(there, lines)) => {
                for line in lines {
                    self.take(cx, line);
                }
                let lacking = self.lacking(&there);
                if !lacking.is_empty() && self.ask(cx, (with, caller), &ChatCall::Take(lacking)) {
                    return;
                }
                StoreAnswer::Done
            }
            Ok(ChatReply::Done) => StoreAnswer::Done,
            _ => StoreAnswer::Failed,
        };
        caller.reply(cx, &ChatReply::Store(result));
    }
}

impl Protocol for Room {
    type Call = ChatCall;
    type Reply = ChatReply;
    type Cast = ();
}

impl GenServer for Room {
    type Continue = ();

    fn handle_call(
        &mut self,
        call: ChatCall,
        caller: Caller<ChatReply>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        CallResult::reply(match call {
            ChatCall::Enter(member) => self.enter(cx, member),
            ChatCall::Say(nick, text) => self.say(cx, nick, text),
            ChatCall::Read(first) => {
                ChatReply::Lines(self.lines.iter().skip(first).take(PAGE).cloned().collect())
            }
            ChatCall::Shown => ChatReply::Shown(self.shown.clone()),
            ChatCall::Compare(there) => {
                ChatReply::Differs(self.shown.clone(), self.lacking(&there))
            }
            ChatCall::Take(lines) => {
                for line in lines {
                    self.take(cx, line);
                }
                ChatReply::Done
            }
            ChatCall::Store(question) => return self.store(cx, caller, question),
        })
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        match info {
            Info::Signal(Signal::Down { number, .. }) => {
                if let Some(member) = self.watched.remove(&number) {
                    self.members.remove(&member);
                }
            }
            Info::Signal(signal) => self.answered(cx, &signal),
            Info::Message { .. } => {}
        }
        Next::Wait
    }
}
