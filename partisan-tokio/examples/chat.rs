//! A chat room without a centre on three nodes over TCP, one of which is killed half-way and comes
//! back.
//!
//!     cargo run --release -p partisan-tokio --example chat
//!
//! The rooms are those of `partisan_sim::applications::chat`, which the simulator puts on trial.
//! What it says is checked: it exits with 1 when a promise is not kept.

mod stage;

use std::process::ExitCode;

use partisan_proto::behaviour::ServerProcess;
use partisan_sim::applications::chat::{self, ChatCall, ChatReply, Line, Room};
use partisan_tokio::{
    Input, Node, Process, Registration, ServerHandle, SpawnOptions, StartOptions,
};
use stage::{DEADLINE, Failure, Say, conclude, demand, eventually};

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run(&|text| println!("{text}")).await)
}

/// One node's copy of the room, and somebody in it.
struct Guest {
    nick: &'static str,
    room: ServerHandle<Room>,
    _kept: Registration,
    ears: Process,
}

impl Guest {
    /// Starts a copy of the room and comes in; says what is shown there already.
    async fn enter(node: &Node, nick: &'static str) -> Result<Self, Failure> {
        let options = StartOptions::default().name(chat::server_name());
        let room = node.start_behaviour(options, ServerProcess::new(Room::default())).await?;
        let _kept = node.keep_broadcasts_by(chat::NAME, room.clone())?;
        let ears = node.attach(SpawnOptions::default()).await?;
        match room.call(&ChatCall::Enter(ears.id())).await? {
            ChatReply::Lines(_) => Ok(Self { nick, room, _kept, ears }),
            other => Err(format!("{nick} is not let in: {other:?}").into()),
        }
    }

    async fn say(&self, text: &str) -> Result<(), Failure> {
        let call = ChatCall::Say(self.nick.to_owned(), text.to_owned());
        match self.room.call(&call).await? {
            ChatReply::Said(_) => Ok(()),
            other => Err(format!("a line was answered {other:?}").into()),
        }
    }

    /// Waits for the next line.
    async fn hear(&mut self) -> Result<String, Failure> {
        match tokio::time::timeout(DEADLINE, self.ears.receive()).await? {
            Some(Input::Message(message)) => Ok(text(&message.decode::<Line>()?)),
            other => Err(format!("{} hears {other:?}", self.nick).into()),
        }
    }

    /// All that is shown.
    async fn read(&self) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        loop {
            match self.room.call(&ChatCall::Read(all.len())).await? {
                ChatReply::Lines(lines) if lines.is_empty() => return Ok(all),
                ChatReply::Lines(lines) => all.extend(lines.iter().map(text)),
                other => return Err(format!("{} reads {other:?}", self.nick).into()),
            }
        }
    }
}

fn text(line: &Line) -> String {
    format!("{}: {}", line.nick, line.text)
}

/// What is said, each as an answer to what was said before.
const TALK: [(usize, &str); 6] = [
    (0, "is anybody here?"),
    (1, "I am"),
    (2, "so am I"),
    (0, "who has the notes?"),
    (2, "I have them"),
    (1, "then we can begin"),
];

/// Runs it all.
pub(crate) async fn run(say: Say<'_>) -> Result<(), Failure> {
    let mut config = stage::quick();
    chat::configure(&mut config);
    let mut cluster = stage::three(config).await?;
    let mut guests = Vec::new();
    for (number, nick) in ["ann", "ben", "cho"].into_iter().enumerate() {
        guests.push(Guest::enter(cluster.node(number), nick).await?);
    }
    say("ann, ben and cho are in the room, each on a node of her or his own\n");
    for (who, words) in TALK {
        guests[who].say(words).await?;
        let mut heard = Vec::new();
        for guest in &mut guests {
            heard.push(guest.hear().await?);
        }
        say(&format!("  {}", heard[who]));
        demand(heard.iter().all(|line| *line == heard[who]), "all hear every line, in its order")?;
    }

    say("\ncho's node is killed while she speaks, and the others go on:\n");
    guests[2].say("wait, my node is").await?;
    for guest in &mut guests[..2] {
        let heard = guest.hear().await?;
        say(&format!("  {} hears {heard}", guest.nick));
    }
    cluster.kill(2).await;
    for (who, words) in [(0, "cho?"), (1, "she is gone")] {
        guests[who].say(words).await?;
        for guest in &mut guests[..2] {
            guest.hear().await?;
        }
        say(&format!("  {}: {words}", guests[who].nick));
    }

    say("\ncho comes back, to a room that she has never seen:\n");
    cluster.restart(2).await?;
    guests[2] = Guest::enter(cluster.node(2), "cho").await?;
    cluster.node(2).join(cluster.contact(0)).await?;
    let all = guests[0].read().await?;
    let cho = &guests[2];
    let took =
        eventually("she sees all that was said", || async { Ok(cho.read().await? == all) }).await?;
    say(&format!("  after {} ms she sees all {} lines, in order", took.as_millis(), all.len()));
    guests[2].say("what did I miss?").await?;
    let heard = guests[0].hear().await?;
    say(&format!("  {heard}"));
    demand(heard == "cho: what did I miss?", "they hear her again")?;
    cluster.shutdown().await;
    Ok(())
}
