"""Functions that parse data and are no fuzz target, with the reason."""

_OWN = "reads what another process of this run wrote: a file in its folder, its environment or its output"
_VALIDATED = "gets a URL that `parse_url` has accepted, or one that loadgen built"
_WATCH = "any exception ends this attempt only: `Watcher.run` records the gap and starts again"
_SANDBOX = "talks to the sandbox's own programs on this machine, whose versions are fixed"
_CONFIGURED = "reads the configuration that loadgen wrote, in Triton's process"
_DECODED = "hands the decoded answer to functions that are targets, and turns errors of the decoder into a sentence"

TRUSTED: dict[str, str] = {
    "loadgen.analyze.demand.need:planned": "a load that is no rate is no plan: the rate is then told from the arrivals",
    "loadgen.whatif.trace:read_arrivals": "a row is a time that is a number, or a sentence; `float` reads nothing else",
    "loadgen.base.http_connection:HttpConnection.__init__": _VALIDATED,
    "loadgen.base.proxies:without_credentials": _VALIDATED,
    "loadgen.collect.connections:from_environment": _OWN,
    "loadgen.collect.connections:proxy_of": _VALIDATED,
    "loadgen.collect.raw:fetch": "a replica whose address is not a URL is an error of this replica (`raw._rows`)",
    "loadgen.collect.scrape_targets:_port_here": "another text than an address of this machine is no port",
    "loadgen.collect.scrape_targets:UrlTargets.__init__": _VALIDATED,
    "loadgen.collect.scrape_targets:UrlTargets.current": _VALIDATED,
    "loadgen.kube.deploy.unknown_values:proposals": "reads the schema of loadgen's own chart",
    "loadgen.kube.client.prometheus_auth:PrometheusAuth.extra_headers": "`parse_headers` is a target",
    "loadgen.kube.observe.observer:main": _OWN,
    "loadgen.kube.observe.watches:Watcher._list": _WATCH,
    "loadgen.kube.observe.watches:Watcher._watch_once": _WATCH,
    "loadgen.kube.proxy.forward:main": _OWN,
    "loadgen.kube.proxy.process:read_port": _OWN,
    "loadgen.kube.proxy.relay:handler.<locals>.Handler.do_GET": "gets requests of the run, behind a secret in the path",
    "loadgen.kube.proxy.relay:main": _OWN,
    "loadgen.lint.render:rendered": "reads what helm makes of loadgen's own chart",
    "loadgen.load.prompts:Head.__init__": "reads a digest that it has computed",
    "loadgen.local.engine.models.tensorrt_llm.model:TritonPythonModel.initialize": _CONFIGURED,
    "loadgen.local.engine.models.tensorrt_llm_bls.model:TritonPythonModel.initialize": _CONFIGURED,
    "loadgen.local.stack:Stack.__init__": _OWN,
    "loadgen.programs.pypi:describe_interpreter": "reads what a Python of this machine prints",
    "loadgen.protocols.reference:_Http.do_POST": "the reference server gets requests of this process",
    "loadgen.protocols.reference:_script": "the reference server gets requests of this process",
    "loadgen.protocols.reference_process:_endpoint": _OWN,
    "loadgen.protocols.tensors:_encoded": "encodes a value of the scenario",
    "loadgen.protocols.triton_grpc:GrpcControlPlane._control": _DECODED,
    "loadgen.protocols.http_connection:connect": _VALIDATED,
    "loadgen.protocols.http_control:HttpControl.ask": _DECODED,
    "loadgen.run.connection_flags:_parsed": "`parse_headers` is a target",
    "loadgen.run.phase:_transition": "conditions that have no time are no known sync",
    "loadgen.run.run:limits_of": "reads names of settings",
    "loadgen.sandbox.build.build:_copy_crds.<locals>.fill": _SANDBOX,
    "loadgen.sandbox.config:SandboxConfig.read": _SANDBOX,
    "loadgen.sandbox.config:SandboxHolder.read": _SANDBOX,
    "loadgen.sandbox.config:SandboxState.read": _SANDBOX,
    "loadgen.sandbox.dns:parse_addresses": _SANDBOX,
    "loadgen.sandbox.kubelet.api_client:ApiClient._changes": _SANDBOX,
    "loadgen.sandbox.kubelet.api_client:ApiClient.call": _SANDBOX,
    "loadgen.sandbox.kubelet.api_client:_refusal": _SANDBOX,
    "loadgen.sandbox.kubelet.config:read_config": _SANDBOX,
    "loadgen.sandbox.kubelet.container.launcher:main": _SANDBOX,
    "loadgen.sandbox.kubelet.container.probes:http_get": _SANDBOX,
    "loadgen.sandbox.kubelet.objects:parse_rfc3339": _SANDBOX,
    "loadgen.sandbox.kubelet.streams.exec:_receive_input": _SANDBOX,
    "loadgen.sandbox.plane.control_plane:main": _SANDBOX,
    "loadgen.targets.local:start_stack": _OWN,
}
"""Reason by function, as in `Target.calls`."""
