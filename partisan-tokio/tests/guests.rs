//! Code of the application within the node: what it does wrong harms it alone, and what it holds is
//! let go.

mod support;

use std::sync::Arc;
use std::time::Duration;

use partisan_proto::interposition::{Passing, Verdict};
use partisan_tokio::{Node, NodeError, ProcessName, RequestError, SendOptions, SpawnOptions};
use support::{DEADLINE, pair, soon, start};

#[tokio::test]
async fn an_interposer_that_panics_lets_messages_pass() {
    let (a, b) = pair().await;
    for node in [&a, &b] {
        node.interpose("panics", |_: &Passing<'_>| -> Verdict { panic!("on purpose") });
    }
    let mut inbox = b.inbox().unwrap();
    a.send(&b.name(), "hello", &SendOptions::default()).await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().decode::<String>().unwrap(), "hello");
    b.register_function("double", |number: u32| async move { Ok::<_, ()>(number * 2) }).unwrap();
    assert_eq!(a.rpc::<_, u32>(b.id(), "double", &21_u32, DEADLINE).await.unwrap(), 42);
    assert!(a.counters().uninterposed > 0 && b.counters().uninterposed > 0);
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test]
async fn what_an_interposer_holds_is_let_go_when_its_node_stops() {
    let node = start("a@127.0.0.1").await;
    let interpose = |node: &Node| {
        let held = Arc::new(());
        let weak = Arc::downgrade(&held);
        node.interpose("holds", move |_: &Passing<'_>| {
            let _ = &held;
            Verdict::Pass
        });
        weak
    };
    let weak = interpose(&node);
    assert!(weak.upgrade().is_some());
    node.shutdown().await;
    assert!(weak.upgrade().is_none());
    assert!(interpose(&node).upgrade().is_none(), "nor is one kept that comes later");
    let late = node.register_function("late", |(): ()| async move { Ok::<_, ()>(()) });
    assert!(matches!(late, Err(NodeError::Stopped)), "{late:?}");
}

#[tokio::test]
async fn an_argument_of_another_shape_is_not_taken_for_a_beginning_of_it() {
    let node = start("a@127.0.0.1").await;
    node.register_function("double", |number: u32| async move { Ok::<_, ()>(number * 2) }).unwrap();
    node.register_function("pair", |(): ()| async move { Ok::<_, ()>((1_u32, "text")) }).unwrap();
    let asked = node.rpc::<_, u32>(node.id(), "double", "hello there", DEADLINE).await;
    assert!(asked.is_err(), "{asked:?}");
    let answered = node.rpc::<_, u32>(node.id(), "pair", &(), DEADLINE).await;
    assert!(matches!(answered, Err(RequestError::Decode(_))), "{answered:?}");
    node.shutdown().await;
}

/// A process whose beginning is under way when its node stops is told to end, as the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_begins_while_its_node_stops_is_told_to_end() {
    for round in 0..20 {
        let node = start(&format!("a{round}@127.0.0.1")).await;
        let spawner = tokio::spawn({
            let node = node.clone();
            async move {
                let mut number = 0;
                loop {
                    number += 1;
                    let name = ProcessName::new(&format!("p{number}")).unwrap();
                    let options = SpawnOptions::default().name(name).trap_exit();
                    let task = |mut process: partisan_tokio::Process| async move {
                        // It is told once, and ends.
                        process.receive().await;
                        partisan_tokio::ExitReason::Normal
                    };
                    if node.spawn_with(options, task).await.is_err() {
                        return;
                    }
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(4), node.shutdown())
            .await
            .expect("all end at once");
        spawner.await.unwrap();
    }
}
