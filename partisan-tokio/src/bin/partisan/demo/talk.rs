//! A ring of greetings on the channel `default`.

use std::time::Instant;

use partisan_tokio::{Mailbox, SendOptions};

use super::cast::Cast;
use super::stage::{NAME, Stage, span};
use super::{Broken, DEADLINE};

/// Each greets the next; the last greets the first.
pub(crate) async fn ring(stage: &mut Stage, cast: &Cast) -> Result<(), Broken> {
    stage.act("They greet each other, on channel default").await;
    let actors: Vec<_> = cast.living().collect();
    let mut inboxes: Vec<Mailbox> = Vec::new();
    for actor in &actors {
        inboxes.push(actor.node.inbox()?);
    }
    for (number, from) in actors.iter().enumerate() {
        let next = (number + 1) % actors.len();
        let to = actors[next];
        let text = format!("hello {}, {} here", to.short, from.short);
        let start = Instant::now();
        let options = SendOptions::default();
        from.node.send(to.node.id(), &text, &options).await?;
        let message = tokio::time::timeout(DEADLINE, inboxes[next].recv()).await;
        let message = message
            .map_err(|_| Broken(format!("{} heard nothing of {}", to.short, from.short)))?
            .ok_or_else(|| Broken(format!("{} has stopped", to.short)))?;
        let heard: String = message.decode()?;
        if heard != text || message.from != from.node.id() {
            return Err(Broken(format!("{} heard something else: {heard}", to.short)));
        }
        stage.say(&format!(
            "{NAME}{}{NAME:#} -> {NAME}{}{NAME:#}  \"{heard}\"  {}",
            from.short,
            to.short,
            span(start.elapsed())
        ));
        stage.pause(120).await;
    }
    stage.kept(&format!("{} greetings went round the ring, each from whom it says", actors.len()));
    stage.pause(400).await;
    Ok(())
}
