//! One node is killed and comes back, one leaves, the rest stop.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use partisan_proto::{CloseReason, Incarnation};
use partisan_tokio::{EventStream, Node, NodeEvent, NodeId, Notification, View};
use tokio::task::JoinSet;

use super::cast::{Cast, address};
use super::stage::{NAME, Stage, span};
use super::{Broken, DEADLINE, burst, picture};

/// How many messages of each key the one who leaves sends last.
const LAST_MESSAGES: u64 = 25;

/// What was known of a node before it was killed.
#[derive(Debug)]
pub(crate) struct Before {
    address: String,
    incarnation: Incarnation,
}

/// What somebody saw of the end of a node.
#[derive(Debug)]
struct Seen {
    by: &'static str,
    after: Duration,
    reason: CloseReason,
}

/// Waits for the end of the session with `gone`, and for the end of its membership if asked.
async fn see(
    by: &'static str,
    mut events: EventStream,
    gone: NodeId,
    leaves: bool,
    start: Instant,
) -> Result<Seen, Broken> {
    let watch = async {
        let (mut down, mut left) = (None, !leaves);
        while down.is_none() || !left {
            match events.next().await {
                Some(NodeEvent::Notification(Notification::NodeDown {
                    instance, reason, ..
                })) if instance.node == gone => down = Some((start.elapsed(), reason)),
                Some(NodeEvent::Notification(Notification::MemberLeft { node }))
                    if node == gone =>
                {
                    left = true;
                }
                Some(_) => {}
                None => return None,
            }
        }
        down
    };
    let seen = tokio::time::timeout(DEADLINE, watch).await.ok().flatten();
    let (after, reason) = seen.ok_or_else(|| Broken(format!("{by} did not notice")))?;
    Ok(Seen { by, after, reason })
}

fn watchers(
    cast: &Cast,
    gone: usize,
    leaves: bool,
    start: Instant,
) -> JoinSet<Result<Seen, Broken>> {
    let id = cast.actor(gone).node.id();
    let mut all = JoinSet::new();
    for actor in cast.others(gone) {
        all.spawn(see(actor.short, actor.node.events(), id, leaves, start));
    }
    all
}

/// Drops all sockets of a node.
pub(crate) async fn kill(
    stage: &mut Stage,
    cast: &mut Cast,
    victim: usize,
) -> Result<Before, Broken> {
    let actor = cast.actor(victim);
    let short = actor.short;
    cast.await_stored(victim).await?;
    stage.act(&format!("{short} is killed")).await;
    let before =
        Before { address: address(&actor.node), incarnation: actor.node.instance().incarnation };
    let start = Instant::now();
    let mut watching = watchers(cast, victim, false, start);
    stage.say(&format!("{NAME}{short}{NAME:#} is gone: every socket dropped, not a word said"));
    cast.actor(victim).node.abort().await;
    cast.actor_mut(victim).present = false;
    let mut count = 0;
    while let Some(seen) = watching.join_next().await {
        let Seen { by, after, reason } = seen??;
        stage.say(&format!("{NAME}{by}{NAME:#} noticed after {}: {reason}", span(after)));
        count += 1;
    }
    let id = cast.actor(victim).node.id();
    for actor in cast.living() {
        let view = actor.node.view();
        if view.is_connected(id) || !view.is_member(id) {
            return Err(Broken(format!("{} has it wrong what {short} is", actor.short)));
        }
    }
    picture::draw(stage, cast);
    stage.kept(&format!("all {count} others noticed, and keep {short} as a member"));
    stage.pause(700).await;
    Ok(before)
}

/// Which life of a node is a member, and where it is.
fn entries(view: &View, node: NodeId) -> impl Iterator<Item = (Incarnation, String)> {
    let members = view.members.iter().filter(move |member| member.spec.id() == node);
    members.map(|member| {
        let addresses = member.spec.addresses().iter().map(ToString::to_string);
        (member.incarnation, addresses.collect::<Vec<_>>().join(", "))
    })
}

/// Starts it again on another port, with nothing but its stored membership.
pub(crate) async fn bring_back(
    stage: &mut Stage,
    cast: &mut Cast,
    victim: usize,
    before: &Before,
) -> Result<(), Broken> {
    let short = cast.actor(victim).short;
    stage.act(&format!("{short} comes back, elsewhere")).await;
    let start = Instant::now();
    let node = {
        // Held meanwhile, so that the free port it gets is another one.
        let _old = TcpListener::bind(&before.address);
        Node::start(cast.actor(victim).settings.clone()).await?
    };
    let new = address(&node);
    stage.say(&format!(
        "{NAME}{short}{NAME:#} listens at {new} now, no longer at {}",
        before.address
    ));
    let actor = cast.actor_mut(victim);
    actor.node = node;
    actor.present = true;
    cast.await_mesh().await?;
    let incarnation = cast.actor(victim).node.instance().incarnation;
    stage.say(&format!(
        "it found its cluster in its stored membership and is back after {}",
        span(start.elapsed())
    ));
    let (id, entry) = (cast.actor(victim).node.id(), (incarnation, new.clone()));
    for other in cast.others(victim) {
        // A session may begin a moment before its peer is known anew.
        let waited = other.node.wait_until(DEADLINE, |view| entries(view, id).eq([entry.clone()]));
        let waited = waited.await;
        waited.map_err(|_| Broken(format!("{} has another entry for {short}", other.short)))?;
    }
    if new == before.address || incarnation <= before.incarnation {
        return Err(Broken(format!("{short} is not new: {new}, incarnation {incarnation}")));
    }
    stage.show(&format!("incarnation {} -> {incarnation}", before.incarnation));
    picture::draw(stage, cast);
    stage.kept(&format!("all have one entry for {short}: the new address, the new incarnation"));
    stage.pause(700).await;
    Ok(())
}

/// One leaves, right after its last messages.
pub(crate) async fn leave(stage: &mut Stage, cast: &mut Cast, leaver: usize) -> Result<(), Broken> {
    let short = cast.actor(leaver).short;
    stage.act(&format!("{short} says its last words and leaves")).await;
    let channel = cast.bulk()?;
    let mut receiving = JoinSet::new();
    for actor in cast.others(leaver) {
        let inbox = actor.node.inbox()?;
        receiving.spawn(burst::receive_numbered(actor.short, inbox, channel, 1, LAST_MESSAGES));
    }
    let others: Vec<NodeId> = cast.others(leaver).map(|actor| actor.node.id()).collect();
    let node = cast.actor(leaver).node.clone();
    burst::send_numbered(node.clone(), others, channel, LAST_MESSAGES).await?;
    let start = Instant::now();
    let mut watching = watchers(cast, leaver, true, start);
    node.leave().await?;
    let mut count = 0;
    while let Some(seen) = watching.join_next().await {
        let Seen { by, after, reason } = seen??;
        stage.say(&format!("{NAME}{by}{NAME:#} let it go after {}: {reason}", span(after)));
        if reason != CloseReason::Left {
            return Err(Broken(format!("{by} took the leaving of {short} for: {reason}")));
        }
        count += 1;
    }
    let mut total = 0;
    while let Some(received) = receiving.join_next().await {
        total += received??;
    }
    let actor = cast.actor_mut(leaver);
    (actor.present, actor.member) = (false, false);
    cast.await_mesh().await?;
    picture::draw(stage, cast);
    stage.kept(&format!("all {count} others dropped {short}, none for a broken connection"));
    stage.kept(&format!("its last {total} messages all arrived"));
    stage.pause(500).await;
    Ok(())
}

/// The rest stop in good order.
pub(crate) async fn stop(stage: &mut Stage, cast: &Cast) -> Result<(), Broken> {
    stage.act("The others stop").await;
    let start = Instant::now();
    let mut stopping = JoinSet::new();
    for actor in cast.actors() {
        let node = actor.node.clone();
        stopping.spawn(async move { node.shutdown().await });
    }
    let all = tokio::time::timeout(DEADLINE, stopping.join_all()).await;
    all.map_err(|_| Broken("a node does not stop".into()))?;
    stage.kept(&format!("all stopped in good order, within {}", span(start.elapsed())));
    Ok(())
}
