"""Studies: each module measures one thing and writes its section of RESULTS.md."""

# Switches off the telemetry of ONNX Runtime, which some studies import before quantkit.
import quantkit as quantkit
