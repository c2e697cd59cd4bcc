//! What TensorFlow's converter of today makes of a fake-quantized graph: op by op, whether it computes in integers, stays
//! in float, does not run, or computes something else.
//!
//! The converter is followed step by step: [`lower`] makes its ops of the graph's, [`fuse`](mod@fuse) joins those that it joins, [`turn`](mod@turn) moves Transposes,
//! [`propagate`] spreads ranges, and [`judge`] says what became of each op. `tests/tensorflow/check_agrees.py` compares
//! that with what TensorFlow 2.15 and the newest make of hundreds of graphs.

mod codes;
mod converter;
mod fuse;
mod judge;
mod lower;
mod lower_loops;
mod names;
mod patterns;
mod program;
mod propagate;
mod quant_type;
mod report;
mod turn;

pub use codes::{CODES, Code, Verdict};
pub use report::{OpVerdict, Verdicts};

use converter::{CONVERTERS, Converter};
use judge::About;
use program::Op;
use report::{Report, Told};

use super::findings::Finding;
use crate::graph::{Graph, TensorRef};
use crate::inspect::fake_quant::{FakeQuant, Range};

/// Judges what the outputs need of the inputs. Findings are errors where the model does not work, and where it stays in
/// float if `full_integer` is asked for. Where no fake quantizer has a constant range, nothing is said of single ops.
pub(super) fn judge(
    graph: &Graph,
    quants: &[FakeQuant],
    [inputs, outputs]: [&[TensorRef]; 2],
    full_integer: bool,
) -> (Verdicts, Vec<Finding>) {
    let mut report =
        Report { graph, found: Default::default(), verdicts: Verdicts::default(), findings: Vec::new(), full_integer };
    if !has_constant_range(quants) {
        report.tell_unquantized(outputs);
        return (report.verdicts, report.findings);
    }
    let lowered = |converter| {
        let mut program = lower::lower(graph, inputs, outputs, converter);
        fuse::fuse(&mut program, converter);
        program
    };
    let newest = lowered(Converter::Newest);
    let older = newest.is_of_one_version.then(|| lowered(Converter::Tf215));
    let programs = [older.as_ref().unwrap_or(&newest), &newest];
    let computed = programs.map(judge::computed);
    for (place, converter) in CONVERTERS.into_iter().enumerate() {
        let types = propagate::propagate(programs[place], converter);
        report.found[place] = judge::judge(programs[place], &types, &computed[place], converter);
    }
    #[expect(clippy::needless_range_loop, reason = "two programs, two lists and what is said have the same index")]
    for op in 0..newest.ops.len() {
        let in_each = [0, 1].map(|place| computed[place][op].then(|| &programs[place].ops[op]));
        let is = |kind: &str| in_each.map(|there| there.is_some_and(|there| there.kind == kind));
        for (place, there) in in_each.into_iter().enumerate() {
            let Some(&Op { node, kind, .. }) = there else { continue };
            if place == 0 || !is(kind)[0] {
                report.tell(About::Op(op), node, Some(&Told { kind, computed: is(kind) }));
            }
        }
    }
    let mut others: Vec<About> = report.found.iter().flat_map(|found| found.keys().copied()).collect();
    others.sort_unstable();
    others.dedup();
    for about in others {
        match about {
            About::Op(op) if computed.iter().any(|computed| computed[op]) => {}
            About::Op(op) => report.tell(about, newest.ops[op].node, None),
            About::Node(node) => report.tell(about, node, None),
        }
    }
    if !has_constant_range(&newest.quants) {
        report.tell_unquantized(outputs);
    }
    (report.verdicts, report.findings)
}

fn has_constant_range(quants: &[FakeQuant]) -> bool {
    quants.iter().any(|quant| matches!(quant.range, Range::Constant { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;
    use crate::inspect::fake_quant::fake_quants;

    #[test]
    fn ops_that_lack_what_they_read_are_no_panic() {
        let graph = graph_of(
            "x = Placeholder [1,4,4,2]
             lonely = Relu
             blocks = SpaceToBatchND
             w = Const [1,1,2,2]
             shape = Const [4]i
             shaped = Reshape(blocks, shape)
             conv = Conv2D(shaped, w)
             back = BatchToSpaceND(conv)
             half = Mul(x)
             low = Const -1.0
             high = Const 1.0
             quant = FakeQuantWithMinMaxVars(half, low, high)
             out = Conv2D(quant, w)",
        );
        let outputs = ["lonely", "back", "out"].map(|name| graph.find_tensor(name).unwrap());
        let inputs = [graph.find_tensor("x").unwrap()];
        let (verdicts, findings) = judge(&graph, &fake_quants(&graph), [&inputs, &outputs], false);
        assert_eq!(verdicts.verdicts.get("integer"), None);
        assert!(findings.iter().any(|finding| finding.node == "lonely"));
    }
}
