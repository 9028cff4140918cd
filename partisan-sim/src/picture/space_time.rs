//! Who sent what to whom and when: a line for each node, an arrow for each message.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use partisan_proto::wire::Frame;
use partisan_proto::{Action, ConnectionId, Instant};
use svg::node::element::{Circle, Group, Polygon};

use super::{Picture, hint, line, number, short};
use crate::check::{Checker, Violation};
use crate::world::{Happened, Step, World};

const WIDTH: f64 = 1_280.0;
const LEFT: f64 = 48.0;
const LANE: f64 = 34.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
/// How far the stroke of a message goes that never arrives.
const STUB: f64 = 6.0;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sent it.
    pub from: usize,
    /// When it left.
    pub sent: Instant,
    /// To whom and when it came, if it did.
    pub arrived: Option<(usize, Instant)>,
    /// What it is, in a word or two.
    pub name: String,
}

/// What a [`SpaceTime`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Messages by the time they left.
    pub messages: Vec<Message>,
    /// Starts and crashes (`true`) of nodes.
    pub lives: Vec<(usize, Instant, bool)>,
}

/// Watches the first messages of a world, as a checker that finds nothing wrong.
#[derive(Debug)]
pub struct SpaceTime {
    most: usize,
    seen: Rc<RefCell<Seen>>,
    /// Messages under way, by sender and connection.
    under_way: BTreeMap<(usize, ConnectionId), VecDeque<usize>>,
    now: Instant,
}

impl SpaceTime {
    /// Watches the first `most` messages, and fills what is returned beside.
    #[must_use]
    pub fn new(most: usize) -> (Self, Rc<RefCell<Seen>>) {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let (under_way, now) = (BTreeMap::new(), Instant::ZERO);
        (Self { most, seen: seen.clone(), under_way, now }, seen)
    }
}

impl Checker for SpaceTime {
    fn on_step(&mut self, step: &Step<'_>, world: &World, _: &mut Vec<Violation>) {
        let mut seen = self.seen.borrow_mut();
        self.now = step.now;
        match step.happened {
            Happened::Start if seen.messages.len() < self.most => {
                seen.lives.push((step.node, step.now, false));
            }
            Happened::Received(connection) if !self.under_way.is_empty() => {
                let mut links = world.network().links(step.node);
                let link = links.find(|link| link.id == connection);
                let key = link.and_then(|link| Some((link.peer, link.peer_id?)));
                let message =
                    key.and_then(|key| self.under_way.get_mut(&key)).and_then(VecDeque::pop_front);
                if let Some(message) = message {
                    seen.messages[message].arrived = Some((step.node, step.now));
                }
            }
            _ => {}
        }
        for action in step.actions {
            let Action::Send { connection, frame } = action else {
                continue;
            };
            if seen.messages.len() < self.most {
                let (from, sent, name) = (step.node, step.now, name(frame));
                let key = (from, *connection);
                self.under_way.entry(key).or_default().push_back(seen.messages.len());
                seen.messages.push(Message { from, sent, arrived: None, name });
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        let mut seen = self.seen.borrow_mut();
        if seen.messages.len() < self.most {
            seen.lives.push((node, self.now, true));
        }
        // Its next life counts its connections anew.
        self.under_way.retain(|(from, _), _| *from != node);
    }
}

/// What a frame is, without what it says.
fn name(frame: &Frame) -> String {
    match frame {
        Frame::Hello(_) => "Hello".into(),
        Frame::Refuse(_) => "Refuse".into(),
        Frame::App { .. } => "Message".into(),
        Frame::Relayed { .. } => "Relayed".into(),
        Frame::Broadcast(_) => "Broadcast".into(),
        Frame::Signal(_) => "Signal".into(),
        Frame::Newest { .. } => "Newest".into(),
        Frame::Reliable { .. } => "Reliable".into(),
        Frame::Request { .. } => "Request".into(),
        Frame::Reply { .. } => "Reply".into(),
        Frame::Control(message) => {
            let text = format!("{message:?}");
            let words = text.split(|letter: char| !letter.is_alphanumeric());
            let words: Vec<_> = words.filter(|word| !word.is_empty()).take(2).collect();
            let inner = words.get(1).filter(|word| word.starts_with(char::is_uppercase));
            match (words.first(), inner) {
                (Some(outer), Some(inner)) if outer != inner => format!("{outer} {inner}"),
                (Some(outer), _) => (*outer).to_owned(),
                (None, _) => String::new(),
            }
        }
    }
}

/// The colour of a message's kind.
fn color(name: &str) -> usize {
    match name.split(' ').next().unwrap_or_default() {
        "Hello" | "Confirm" | "Accept" | "Refuse" | "Goodbye" => 7,
        "Ping" | "Pong" => 4,
        "Message" | "Relayed" | "Reliable" | "Newest" | "Request" | "Reply" => 1,
        "Broadcast" | "Plumtree" | "Relay" => 2,
        _ => 0,
    }
}

impl Seen {
    /// Draws it, for the nodes numbered up to `nodes`.
    #[must_use]
    pub fn picture(&self, nodes: usize) -> Picture {
        let height = TOP + BOTTOM + LANE * nodes.saturating_sub(1) as f64;
        let mut picture = Picture::new("Who tells whom", WIDTH, height);
        let axis = Axis::of(self);
        let milliseconds = |at: Instant| at.as_nanos() as f64 / 1e6;
        let x = |at: f64| LEFT + axis.place(at) * (WIDTH - LEFT - 12.0);
        let y = |node: usize| TOP + node as f64 * LANE;
        for (tick, place) in axis.ticks() {
            let at = LEFT + place * (WIDTH - LEFT - 12.0);
            picture.line((at, TOP - 8.0), (at, height - BOTTOM + 8.0), "rule");
            picture.text((at, height - 16.0), "label middle", &number(tick));
        }
        picture.text(
            (WIDTH - 8.0, height - 3.0),
            "label end",
            "milliseconds; pauses are shortened",
        );
        for node in 0..nodes {
            picture.line((LEFT, y(node)), (WIDTH - 12.0, y(node)), "axis");
            picture.text((LEFT - 8.0, y(node) + 4.0), "label end", &format!("n{node}"));
        }
        for message in self.messages.iter().filter(|message| message.from < nodes) {
            let sent = milliseconds(message.sent);
            let from = (x(sent), y(message.from));
            let class = format!("s{}", color(&message.name));
            let (to, class, text) = match message.arrived {
                Some((to, at)) => {
                    let text = format!("n{} to n{to}: {}", message.from, message.name);
                    ((x(milliseconds(at)), y(to)), format!("arrow {class}"), text)
                }
                None => {
                    let text = format!("n{} in vain: {}", message.from, message.name);
                    ((from.0 + STUB, from.1 + LANE / 3.0), "arrow lost mark".to_owned(), text)
                }
            };
            let stroke = line(from, to, &class);
            let mut group = Group::new().add(hint(text)).add(stroke);
            if message.arrived.is_some() {
                let fill = format!("f{}", color(&message.name));
                group = group.add(head(from, to).set("class", fill));
            }
            picture.add(group);
        }
        for (node, at, crash) in self.lives.iter().filter(|(node, ..)| *node < nodes) {
            let (class, what) = if *crash { ("v0", "crashes") } else { ("root", "starts") };
            let dot = Circle::new().set("cx", short(x(milliseconds(*at)))).set("cy", y(*node));
            let text = format!("n{node} {what} at {at}");
            picture.add(dot.set("r", 4).set("class", class).add(hint(text)));
        }
        picture
    }
}

/// Where moments are drawn: in proportion, but for pauses, which are shortened.
struct Axis {
    /// Moments in milliseconds, and where they are, from 0 to 1.
    places: Vec<(f64, f64)>,
}

impl Axis {
    fn of(seen: &Seen) -> Self {
        let arrivals = seen.messages.iter().filter_map(|message| message.arrived);
        let sent = seen.messages.iter().map(|message| message.sent);
        let mut times: Vec<f64> = sent
            .chain(arrivals.map(|(_, at)| at))
            .chain(seen.lives.iter().map(|(_, at, _)| *at))
            .map(|at| at.as_nanos() as f64 / 1e6)
            .chain([0.0])
            .collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let gaps = || times.windows(2).map(|pair| pair[1] - pair[0]);
        let mut sorted: Vec<f64> = gaps().collect();
        sorted.sort_by(f64::total_cmp);
        let longest = sorted.get(sorted.len() / 2).map_or(1.0, |median| median * 4.0);
        let mut at = 0.0;
        let mut places = vec![(0.0, 0.0)];
        for (time, gap) in times.iter().skip(1).zip(gaps()) {
            at += gap.min(longest);
            places.push((*time, at));
        }
        places.iter_mut().for_each(|place| place.1 /= f64::max(at, 1e-9));
        Self { places }
    }

    fn place(&self, time: f64) -> f64 {
        let next = self.places.partition_point(|place| place.0 < time - 1e-9);
        self.places.get(next).or_else(|| self.places.last()).map_or(0.0, |place| place.1)
    }

    /// Moments to name, and where they are.
    fn ticks(&self) -> Vec<(f64, f64)> {
        let mut ticks: Vec<(f64, f64)> = Vec::new();
        for place in &self.places {
            if ticks.last().is_none_or(|last| place.1 - last.1 > 0.08) {
                ticks.push(*place);
            }
        }
        ticks
    }
}

/// The head of an arrow.
fn head(from: (f64, f64), to: (f64, f64)) -> Polygon {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = (dx * dx + dy * dy).sqrt().max(1e-9);
    let (dx, dy) = (dx / length * 6.0, dy / length * 6.0);
    let (base_x, base_y) = (to.0 - dx, to.1 - dy);
    let corners =
        [to, (base_x - dy / 2.5, base_y + dx / 2.5), (base_x + dy / 2.5, base_y - dx / 2.5)];
    let points = corners.map(|(x, y)| format!("{},{}", short(x), short(y)));
    Polygon::new().set("points", points.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldOptions;
    use partisan_proto::Duration;

    fn seen(crash: bool) -> Seen {
        let mut world = World::new(WorldOptions::default());
        let (watch, seen) = SpaceTime::new(40);
        world.check(watch);
        world.add_nodes(2);
        world.join(1, 0);
        if crash {
            world.run_for(Duration::from_millis(1));
            world.crash(0);
        }
        world.run_for(Duration::from_secs(1));
        seen.take()
    }

    #[test]
    fn messages_are_matched_with_their_arrival() {
        let seen = seen(false);
        assert!(seen.messages.len() > 4 && seen.messages.len() <= 40);
        let hello = &seen.messages[0];
        assert_eq!((hello.from, hello.name.as_str()), (1, "Hello"));
        let (to, at) = hello.arrived.unwrap();
        assert!(to == 0 && at > hello.sent);
        assert!(seen.messages.iter().all(|message| message.arrived.is_some()));
        assert_eq!(seen.lives, [(0, Instant::ZERO, false), (1, Instant::ZERO, false)]);
        let text = seen.picture(2).inline();
        assert!(text.contains("n1 to n0: Hello") && text.contains("n0 to n1: Accept"), "{text}");
        assert_eq!(text.matches("<polygon").count(), seen.messages.len());
    }

    #[test]
    fn what_never_arrives_and_who_crashes_is_marked() {
        let seen = seen(true);
        let text = seen.picture(2).inline();
        assert!(text.contains("n0 crashes") && !text.contains("NaN"));
        let lost = seen.messages.iter().filter(|message| message.arrived.is_none()).count();
        assert_eq!(text.matches(" in vain: ").count(), lost);
        assert!(lost > 0);
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let mut world = World::new(WorldOptions::default());
        let (watch, seen) = SpaceTime::new(3);
        world.check(watch);
        world.add_nodes(3);
        (1..3).for_each(|node| _ = world.join(node, 0));
        world.run_for(Duration::from_secs(5));
        assert_eq!(seen.borrow().messages.len(), 3);
    }
}
