//! Fifty HyParView nodes over TCP lose twenty at once, and miss no broadcast: the example, as a test.

#[path = "../examples/fifty.rs"]
#[expect(dead_code, reason = "the example is a program with a `main`")]
mod fifty;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_nodes_of_which_twenty_die_at_once_miss_no_broadcast() {
    let told = fifty::run(50, 20, &|text| println!("{text}")).await;
    told.expect("every promise is kept");
}
