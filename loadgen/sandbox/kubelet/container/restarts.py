"""Whether a container that has ended is to be started again."""

from loadgen.sandbox.kubelet.meta import Json


def should_restart(pod: Json, container: Json, exit_code: int, *, init: bool = False) -> bool:
    """Whether the policy asks for another start.

    The first of the container's own rules that matches decides, then its own policy, then the pod's. Of a pod that
    always restarts, an init container is started again only after a failure; sidecars say `Always` themselves.

    Args:
        pod: The pod.
        container: The container.
        exit_code: How it ended.
        init: Whether it is an init container.
    """
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy")
    if policy is None:
        policy = pod["spec"].get("restartPolicy", "Always")
        if init and policy == "Always":
            policy = "OnFailure"
    return bool(policy == "Always" or (policy == "OnFailure" and exit_code != 0))
