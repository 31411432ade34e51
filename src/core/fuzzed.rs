//! Tests that replay the corpora of the fuzz targets: see `fuzz/run`.

use crate as lonet_core;

#[path = "../../fuzz/bodies.rs"]
mod bodies;

macro_rules! replayed {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            const CORPUS: &str =
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/", stringify!($target)));
            assert!(CORPUS.lines().count() > 5, "a corpus");
            bodies::unpack(CORPUS).for_each(|input| bodies::$target(&input));
        }
    )*};
}

replayed!(quote address request reply control_request control_reply);
