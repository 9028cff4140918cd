//! The applications over TCP: the examples, as tests.
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own, with its stage")]

#[path = "../examples/actors.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod actors;
#[path = "../examples/chat.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod chat;
#[path = "../examples/kv.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod kv;
#[path = "../examples/router.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod router;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_survives_the_loss_of_a_node_and_its_return() {
    kv::run(&|text| println!("{text}")).await.expect("every promise is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_keeps_the_order_of_sessions_while_a_node_is_lost() {
    router::run(&|text| println!("{text}")).await.expect("every promise is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn virtual_actors_are_active_once_and_elsewhere_when_their_node_dies() {
    actors::run(&|text| println!("{text}")).await.expect("every promise is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_keeps_its_order_and_its_history_when_a_node_is_lost() {
    chat::run(&|text| println!("{text}")).await.expect("every promise is kept");
}
