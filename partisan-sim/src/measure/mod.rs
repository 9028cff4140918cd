//! What an overlay is like: measures over the graph of who is next to whom.
//!
//! Everything here is a pure function of an [`Overlay`], a plain adjacency structure; of a world
//! it is taken by [`Overlay::of`]. The measures are those of the HyParView paper (section 5): the
//! degrees, the clustering coefficient, the average shortest path, and what a flood reaches in how
//! many hops.
//!
//! ```
//! use partisan_sim::measure::Overlay;
//!
//! let overlay = Overlay::random(7, 1_000, 5);
//! let distances = overlay.distances(7);
//! assert!(overlay.clustering() < 0.005 && distances.mean < 4.8);
//! assert_eq!(overlay.components(), [1_000]);
//! ```

pub mod broadcast;
mod distance;
mod overlay;
mod series;
mod shape;
mod trail;

pub use distance::{Distances, EXACT, Flood, SAMPLED};
pub use overlay::Overlay;
pub use series::{Recorder, Sample, Snapshot};
pub use shape::{Histogram, Shape};
pub use trail::{Stop, Trail};
