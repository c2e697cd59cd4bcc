//! The outputs of a model keep their names.
//!
//! # What it does
//! Where a tensor that the model hands out was quantized, gives its node another name (`…/unquantized`) and puts an
//! Identity of the old name behind the quantizer. Who fetches the output by its name gets the quantized tensor; readers
//! of the quantizer read the Identity, so that their inputs are spelled as before.
//!
//! # When it applies
//! To outputs that the user or a signature names, and, where neither does, to those that nobody reads.
//!
//! # What it leaves alone
//! Outputs that no quantizer reads, and any but a node's first. The reference moves the output to the quantizer: by its
//! rules alone, and those of names, that is only told.
//!
//! # Example
//! `conv → relu` with the output `relu` becomes `conv → relu/unquantized → act_quant → relu`.

use hashbrown::HashMap;

use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// An output of the model that was quantized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizedOutput {
    /// The tensor.
    pub tensor: TensorRef,
    /// What takes its place for readers.
    pub quantized: TensorRef,
}

/// Those of the outputs that were quantized.
pub(crate) fn quantized_outputs(outputs: &[TensorRef], quantized: &[[TensorRef; 2]]) -> Vec<QuantizedOutput> {
    let by_tensor: HashMap<TensorRef, TensorRef> = quantized.iter().map(|&[tensor, by]| (tensor, by)).collect();
    let find = |&tensor: &TensorRef| Some(QuantizedOutput { tensor, quantized: *by_tensor.get(&tensor)? });
    outputs.iter().filter_map(find).collect()
}

/// Gives the output's name to the quantized tensor; returns the node that bears it now.
///
/// # Errors
/// Those of inserting a node.
pub(crate) fn keep(graph: &mut Graph, output: &QuantizedOutput) -> Result<NodeId> {
    let node = output.tensor.node;
    let name = graph.name(node).to_owned();
    let device = graph.device(node).to_owned();
    let free = graph.free_name(&format!("{name}/unquantized"));
    graph.rename(node, &free)?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat);
    let inputs = [Input::Data(output.quantized)];
    let readers: Vec<NodeId> = graph.tensor_consumers(output.quantized).collect();
    let identity = graph.insert(NewNode {
        name: &name,
        op: "Identity",
        device: &device,
        inputs: &inputs,
        attrs: attrs.as_bytes(),
    })?;
    graph.reroute(output.quantized, identity.into(), &readers);
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use crate::cases::{check, eval_by_topology, model_of, reference_only, rewritten};
    use crate::rewrite::rewrite;

    /// Two layers, of which the first is read by the second.
    const LAYERS: &str = "
        x = Placeholder [?,8,8,3]
        v = VariableV2 [3,3,3,3]
        w = Identity(v)
        a = Conv2D(x, w)
        a/relu = Relu(a)
        b = Conv2D(a/relu, w)
        b/relu = Relu(b)
    ";

    #[test]
    fn what_nobody_reads_keeps_its_name_behind_its_quantizer() {
        check(
            LAYERS,
            &eval_by_topology(),
            "layer a: quantized
             layer b: quantized
             a = Conv2D(x, weights_quant/FakeQuantWithMinMaxVars)
             b = Conv2D(act_quant/FakeQuantWithMinMaxVars, weights_quant/FakeQuantWithMinMaxVars)
             b/relu/unquantized = Relu(b)
             weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
             act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(a/relu)
             act_quant_1/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(b/relu/unquantized)
             b/relu = Identity(act_quant_1/FakeQuantWithMinMaxVars)",
        );
        let (report, _) = rewritten(LAYERS, &eval_by_topology()).unwrap();
        let told: Vec<[&str; 2]> =
            report.outputs.iter().map(|output| [output.before.as_str(), output.after.as_str()]).collect();
        assert_eq!(told, [["b/relu:0", "b/relu:0"]]);
        let quant = &report.layers[1].fake_quants[0];
        assert_eq!(
            (quant.tensor.as_str(), quant.consumers.as_slice()),
            ("b/relu/unquantized:0", &["b/relu".to_owned()][..])
        );
    }

    #[test]
    fn an_output_that_others_read_too_keeps_its_readers() {
        let mut model = model_of(LAYERS);
        model.ends.outputs = vec![model.graph.find_tensor("a/relu:0").unwrap()];
        rewrite(&mut model, &eval_by_topology()).unwrap();
        let graph = &model.graph;
        let reads = |name: &str| graph.name(graph.data_input(graph.find(name).unwrap(), 0).unwrap().node);
        assert_eq!(reads("b"), "a/relu");
        assert_eq!(reads("a/relu"), "act_quant/FakeQuantWithMinMaxVars");
        assert_eq!(reads("act_quant/FakeQuantWithMinMaxVars"), "a/relu/unquantized");
        assert!(graph.find("b/relu/unquantized").is_none(), "no output of the model");
    }

    #[test]
    fn a_delayed_quantizer_hands_on_what_its_switch_lets_through() {
        let mut options = eval_by_topology();
        options.quantize.get_or_insert_default().quant_delay = Some(5);
        let (_, model) = rewritten(LAYERS, &options).unwrap();
        let graph = &model.graph;
        let output = graph.find("b/relu").unwrap();
        assert_eq!(graph.name(graph.data_input(output, 0).unwrap().node), "act_quant/delayed_quant_1/Merge");
    }

    #[test]
    fn by_the_reference_s_rules_the_output_moves_and_that_is_told() {
        let (report, model) = rewritten(LAYERS, &reference_only()).unwrap();
        assert_eq!(model.graph.op(model.graph.find("b/relu").unwrap()), "Relu");
        let warning = report.warnings.iter().find(|warning| warning.code == "output_moved").unwrap();
        assert_eq!(
            warning.message,
            "the output 'b/relu:0' is quantized by a node behind it: fetch 'act_quant_1/FakeQuantWithMinMaxVars:0' instead"
        );
        assert_eq!(
            model.outputs(),
            [model.graph.find_tensor("b/relu").unwrap()],
            "the name is still that of the output"
        );
    }
}
