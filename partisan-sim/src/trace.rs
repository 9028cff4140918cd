//! What happened, a readable line each, for the moments that matter.

use std::collections::VecDeque;
use std::fmt::Write;

use partisan_proto::wire::Frame;
use partisan_proto::{Action, Event, Instant};

/// The last lines of a run.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    most: usize,
    /// Only what happens to this node.
    node: Option<usize>,
}

impl Trace {
    /// Keeps the last `most` lines, of one node or of all.
    #[must_use]
    pub const fn new(most: usize, node: Option<usize>) -> Self {
        Self { lines: VecDeque::new(), most, node }
    }

    /// What was kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn add(&mut self, now: Instant, node: Option<usize>, mark: &str, text: &str) {
        if self.node.is_some() && node.is_some() && self.node != node {
            return;
        }
        if self.lines.len() >= self.most {
            self.lines.pop_front();
        }
        let mut line = format!("{now} ");
        match node {
            // Writing to a string cannot fail.
            Some(node) => _ = write!(line, "n{node:<4}"),
            None => line.push_str("     "),
        }
        let text: String = text.chars().take(240).collect();
        _ = write!(line, " {mark} {text}");
        self.lines.push_back(line);
    }

    /// A node handles an event.
    pub fn event(&mut self, now: Instant, node: usize, event: &Event) {
        let text = match event {
            Event::Received { connection, frame } => format!("{connection:?} {}", show(frame)),
            other => format!("{other:?}"),
        };
        self.add(now, Some(node), "<-", &text);
    }

    /// A node asks for an action.
    pub fn action(&mut self, now: Instant, node: usize, action: &Action) {
        let text = match action {
            Action::Send { connection, frame } => format!("send {connection:?} {}", show(frame)),
            Action::Ask { id, question } => format!("ask {} {question:?}", id.0),
            Action::Persist(bytes) => format!("persist {} bytes", bytes.len()),
            other => format!("{other:?}"),
        };
        self.add(now, Some(node), "->", &text);
    }

    /// Something else happens.
    pub fn note(&mut self, now: Instant, node: Option<usize>, text: &str) {
        self.add(now, node, "**", text);
    }
}

fn show(frame: &Frame) -> String {
    match frame {
        Frame::App { payload, .. } => format!("App({} bytes)", payload.len()),
        Frame::Relayed { header, payload } => format!(
            "Relayed({:?} #{} to {:?}, ttl {}, {} bytes)",
            header.id.origin,
            header.id.sequence,
            header.target,
            header.ttl,
            payload.len()
        ),
        Frame::Control(message) => format!("{message:?}"),
        Frame::Signal(message) => format!("Signal({message:?})"),
        Frame::Reliable { header, payload } => {
            format!("Reliable({header:?}, {} bytes)", payload.len())
        }
        Frame::Newest { header, payload } => {
            format!("Newest({header:?}, {} bytes)", payload.len())
        }
        Frame::Request { header, payload } => {
            format!("Request({header:?}, {} bytes)", payload.len())
        }
        Frame::Reply { header, payload } => format!("Reply({header:?}, {} bytes)", payload.len()),
        Frame::Hello(hello) => format!(
            "Hello({} life {} for {:?} channel {} lane {} epoch {})",
            hello.name, hello.incarnation, hello.expected, hello.channel, hello.lane, hello.epoch.0
        ),
        Frame::Refuse(refuse) => format!("{refuse:?}"),
        Frame::Broadcast(message) => format!(
            "Broadcast({} {} hops {} own {} {} bytes)",
            message.id,
            message.handler,
            message.hops,
            message.own,
            message.payload.len()
        ),
    }
}
