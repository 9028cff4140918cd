//! A process is told once of each that it watches, whatever ends it: the example, as a test.

#[path = "../examples/monitors.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod monitors;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_the_death_of_the_node_and_a_cut_connection_are_told_once_each() {
    monitors::run(&|text| println!("{text}")).await.expect("every promise is kept");
}
