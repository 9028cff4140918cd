//! Timers, and pure machines as processes.

use super::*;

#[tokio::test]
async fn timers_fire_once_at_their_time_unless_they_are_cancelled() {
    let (a, b) = pair().await;
    let mut process = me(&a).await;
    let soon_after = Duration::from_millis(20);
    let to_itself = process.send_after(soon_after, process.id(), "tick").await.unwrap();
    match signal(&mut process).await {
        Signal::Timer { number, payload } => {
            assert_eq!(number, to_itself);
            assert_eq!(postcard::from_bytes::<String>(&payload).unwrap(), "tick");
        }
        other => panic!("{other:?}"),
    }
    let mut far = b.attach(SpawnOptions::default().name(named("far"))).await.unwrap();
    process.send_after(soon_after, (b.id(), named("far")), "far").await.unwrap();
    assert_eq!(text(&mut far).await, "far");
    let hour = Duration::from_secs(3600);
    let number = process.send_after(hour, process.id(), "late").await.unwrap();
    let left = process.read_timer(number).await.unwrap();
    assert!(left <= hour && left > hour / 2);
    let left = process.cancel_timer(number).await.unwrap();
    assert!(left <= hour && left > hour / 2);
    assert_eq!(process.cancel_timer(number).await, None);
    assert_eq!(process.read_timer(number).await, None);
    // Also when it has fired already, and waits in the mailbox.
    for _ in 0..50 {
        let number = process.send_after(Duration::ZERO, process.id(), "now").await.unwrap();
        process.cancel_timer(number).await;
        settled(&process).await;
        assert!(process.try_receive().is_none());
    }
}

#[tokio::test]
async fn a_message_is_sent_at_a_time_and_not_at_one_that_no_clock_reaches() {
    let (a, _) = pair().await;
    let mut process = me(&a).await;
    let began = std::time::Instant::now();
    let at = began + Duration::from_millis(20);
    let number = process.send_at(at, process.id(), "then").await.unwrap();
    assert_eq!(signal(&mut process).await.number(), Some(number));
    assert!(std::time::Instant::now() >= at);
    let over = process.send_at(began, process.id(), "at once").await.unwrap();
    assert_eq!(signal(&mut process).await.number(), Some(over));
    let never = process.send_after(Duration::MAX, process.id(), "never").await;
    assert_eq!(never, Err(SendError::TooFar));
    let centuries = Duration::from_secs(600 * 366 * 24 * 3_600);
    assert_eq!(process.send_after(centuries, process.id(), "").await, Err(SendError::TooFar));
}

/// Counts what it is told, asks its child, and ends with the sum.
#[derive(Debug)]
struct Adder {
    sum: u64,
    parent: Option<Target>,
}

impl Actor for Adder {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        if self.parent.is_none() {
            cx.register(named("adder"));
            let child = Self { sum: 0, parent: Some(cx.me().into()) };
            let options =
                process::SpawnOptions { name: Some(named("child")), ..Default::default() };
            let child = cx.spawn_with(Box::new(child), options);
            let number = cx.monitor(child);
            cx.demonitor(number);
            cx.monitor(child);
            cx.send_after(Duration::ZERO, cx.me(), Bytes::from_static(&[2]));
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: process::Input) {
        match input {
            process::Input::Message { payload, .. } => {
                self.sum += u64::from(payload[0]);
                if let Some(parent) = self.parent.take() {
                    cx.send(&parent, Bytes::from_static(&[5]));
                    cx.end(why("child"));
                }
            }
            process::Input::Request { reply_to, .. } => {
                cx.reply(reply_to, Ok(postcard::to_allocvec(&self.sum).unwrap().into()));
            }
            process::Input::Signal(Signal::Timer { payload, .. }) => {
                self.sum += u64::from(payload[0]);
                cx.send(&(cx.me().node, named("child")).into(), Bytes::from_static(&[1]));
            }
            process::Input::Signal(Signal::Down { reason, .. }) => {
                assert_eq!(reason, why("child"));
                self.sum += 10;
            }
            process::Input::Signal(_) => cx.end(why("unexpected")),
        }
    }
}

#[tokio::test]
async fn a_pure_machine_runs_as_it_is() {
    let (a, b) = pair().await;
    let adder = a.spawn_actor(Adder { sum: 0, parent: None }).await.unwrap();
    let sum = || async { b.call::<_, u64>(adder, "", DEADLINE).await.unwrap() };
    soon(async { while sum().await != 2 + 5 + 10 {} }).await;
    assert_eq!(a.whereis("adder"), Some(adder));
    let mut second = a.spawn_actor(Adder { sum: 0, parent: None }).await;
    let second = second.as_mut().unwrap();
    let reason = soon(a.monitor(*second).await.unwrap().down()).await.reason;
    let lost_or_told = reason == ExitReason::NoProcess || reason.to_string().contains("adder");
    assert!(lost_or_told, "{reason}");
}
