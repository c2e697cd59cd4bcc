//! What TensorFlow's converter of today makes of a fake-quantized graph: op by op, whether it computes in integers, stays
//! in float, does not run, or computes something else.
//!
//! The converter is followed step by step: [`lower`] makes its ops of the graph's, [`fuse`] joins those that it joins,
//! [`propagate`] spreads ranges, and [`judge`] says what became of each op. `tests/tensorflow/check_agrees.py` compares
//! that with what TensorFlow 2.15 and the newest make of hundreds of graphs.

mod codes;
mod converter;
mod fuse;
mod judge;
mod lower;
mod names;
mod patterns;
mod program;
mod propagate;
mod quant_type;
mod report;

pub use codes::{CODES, Code, Verdict};
pub use report::{OpVerdict, Verdicts};

use converter::CONVERTERS;
use judge::{About, Judgements};
use report::Report;

use super::findings::Finding;
use crate::graph::{Graph, TensorRef};
use crate::inspect::fake_quant::Range;

/// Judges what the outputs need of the inputs. Findings are errors where the model does not work, and where it stays in
/// float if `full_integer` is asked for.
pub(super) fn judge(
    graph: &Graph,
    inputs: &[TensorRef],
    outputs: &[TensorRef],
    full_integer: bool,
) -> (Verdicts, Vec<Finding>) {
    let mut program = lower::lower(graph, inputs, outputs);
    fuse::fuse(&mut program);
    let computed = judge::computed(&program);
    let found = CONVERTERS.map(|converter| {
        let types = propagate::propagate(&program, converter);
        judge::judge(&program, &types, &computed, converter)
    });
    let mut report = Report { graph, found, verdicts: Verdicts::default(), findings: Vec::new(), full_integer };
    for op in (0..program.ops.len()).filter(|&op| computed[op]) {
        let of_op = &program.ops[op];
        report.tell(About::Op(op), of_op.node, Some(of_op.kind));
    }
    let mut others: Vec<About> = report.found.iter().flat_map(|found| found.keys().copied()).collect();
    others.sort_unstable();
    others.dedup();
    for about in others {
        match about {
            About::Op(op) if !computed[op] => report.tell(about, program.ops[op].node, None),
            About::Op(_) => {}
            About::Node(node) => report.tell(about, node, None),
        }
    }
    if program.quants.iter().all(|quant| !matches!(quant.range, Range::Constant { .. }))
        && let Some(output) = outputs.first()
    {
        report.found = [(); 2]
            .map(|()| Judgements::from([(About::Node(output.node), vec![(Code::NoFakeQuantizer, String::new())])]));
        report.tell(About::Node(output.node), output.node, None);
    }
    (report.verdicts, report.findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

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
             out = Conv2D(half, w)",
        );
        let outputs = ["lonely", "back", "out"].map(|name| graph.find_tensor(name).unwrap());
        let (verdicts, findings) = judge(&graph, &[graph.find_tensor("x").unwrap()], &outputs, false);
        assert_eq!(verdicts.verdicts.get("integer"), None);
        assert!(findings.iter().any(|finding| finding.node == "lonely"));
    }
}
