//! `partisan demo`: a live account of what a cluster does, every statement of which is checked.

mod burst;
mod cast;
mod changes;
mod picture;
mod stage;
mod talk;

use std::time::Duration;

use crate::arguments::DemoArguments;
use crate::failure::Failure;
use cast::Cast;
use stage::{NAME, Stage};

/// How long anything may take that should take milliseconds.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What did not come true.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Plays all acts, and sums up.
pub(crate) async fn run(arguments: DemoArguments) -> Result<(), Failure> {
    let mut stage = Stage::new(arguments.fast);
    let played = tokio::select! {
        played = play(&mut stage, usize::from(arguments.nodes)) => played,
        _ = tokio::signal::ctrl_c() => Err(Broken("interrupted".into())),
    };
    stage.summary(played.as_ref().err().map(|broken| broken.0.as_str()));
    played.map_err(|_| Failure::failed(""))
}

async fn play(stage: &mut Stage, count: usize) -> Result<(), Broken> {
    let mut cast = Cast::assemble(stage, count).await?;
    form(stage, &cast).await?;
    talk::ring(stage, &cast).await?;
    burst::keyed(stage, &cast).await?;
    let last = count - 1;
    let old = changes::kill(stage, &mut cast, last).await?;
    changes::bring_back(stage, &mut cast, last, &old).await?;
    changes::leave(stage, &mut cast, last - 1).await?;
    changes::stop(stage, &cast).await
}

/// All join through the first.
async fn form(stage: &mut Stage, cast: &Cast) -> Result<(), Broken> {
    stage.act("They form a cluster").await;
    let first = cast.actor(0);
    let began = std::time::Instant::now();
    for actor in &cast.actors()[1..] {
        let start = std::time::Instant::now();
        let contact = partisan_tokio::Contact::from(&*first.node.spec());
        actor.node.sync_join(contact, DEADLINE).await?;
        stage.say(&format!(
            "{NAME}{}{NAME:#} joins through {}: in after {}, knows {} members",
            actor.short,
            first.short,
            stage::span(start.elapsed()),
            actor.node.members().len()
        ));
        stage.pause(150).await;
    }
    cast.await_mesh().await?;
    let connections: usize = cast.living().map(|actor| actor.node.connections().len()).sum();
    stage.say(&format!(
        "full mesh after {}: {} connections, each seen from both ends",
        stage::span(began.elapsed()),
        connections / 2
    ));
    picture::draw(stage, cast);
    stage.kept("every node knows all the others and has every lane to them");
    stage.pause(700).await;
    Ok(())
}
