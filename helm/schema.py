"""Every value of the chart: its type, its default, what it means. The schema, values.yaml and the chart's README are made of it."""

import ast
import inspect
import itertools
import textwrap
from typing import Any, get_args

from rollhouse import settings as rollhouse_settings
from rollhouse.settings import Settings

Schema = dict[str, Any]

NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
"""A name of an object of Kubernetes, or none."""
LABEL = r"^([a-z]([-a-z0-9]*[a-z0-9])?)?$"
"""What a Service's name may begin with, or nothing."""
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|[kKMGT]i?)?$"
ELSEWHERE = {
    "audit_key",
    "database_connections",
    "database_password",
    "database_url",
    "data_dir",
    "drain_seconds",
    "host",
    "keep_alive_seconds",
    "metrics_port",
    "migration_database_password",
    "migration_database_url",
    "oidc_client_secret",
    "peppers",
    "port",
    "public_url",
    "redis_password",
    "redis_url",
    "smtp_url",
    "worker_metrics_port",
}
"""Settings that have a value of their own in the chart, or are fixed by it."""


def text(says: str, default: str = "", **more: Any) -> Schema:
    """A word."""
    return {"type": "string", "description": says, "default": default, **more}


def number(says: str, default: int, least: int = 0, most: int | None = None) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": says, "default": default, "minimum": least} | ({} if most is None else {"maximum": most})


def flag(says: str, *, default: bool) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": says, "default": default}


def choice(says: str, *words: str) -> Schema:
    """One of some words; the first is the default."""
    return {"type": "string", "description": says, "enum": list(words), "default": words[0]}


def items(says: str, *, of: str = "object", default: tuple[Any, ...] = ()) -> Schema:
    """A list, as it stands in the object of Kubernetes."""
    return {"type": "array", "description": says, "items": {"type": of}, "default": list(default)}


def passed(says: str, default: Schema | None = None, *, of: str | None = None) -> Schema:
    """An object that is passed on as it is; `of` is the type of its values where all have one."""
    return {"type": "object", "description": says, "additionalProperties": True if of is None else {"type": of}, "default": default or {}}


def group(says: str, **properties: Schema) -> Schema:
    """Values that belong together; no other is known."""
    return {"type": "object", "description": says, "additionalProperties": False, "properties": properties}


def secret(says: str, key: str) -> Schema:
    """A key of a Secret that exists already."""
    return group(
        says,
        name=text("Name of the Secret, which must exist; empty: none.", pattern=NAME),
        key=text("Its key in that Secret.", key, pattern=r"^[-._a-zA-Z0-9]+$"),
    )


def resources(cpu: str, memory: str, limit: str) -> Schema:
    """Requests and limits of a container."""
    quantities = {"type": "object", "additionalProperties": {"type": ["string", "number"], "pattern": QUANTITY}}
    return group(
        "What a container asks for and may use. There is no limit on CPU: a throttled process misses its time-outs.",
        requests=quantities | {"description": "What the scheduler reserves.", "default": {"cpu": cpu, "memory": memory}},
        limits=quantities | {"description": "What it may use at most.", "default": {"memory": limit}},
    )


def placement() -> dict[str, Schema]:
    """Where pods run, and what they carry."""
    return {
        "podAnnotations": passed("Annotations of the pods; changing one rolls them, as after the exchange of a Secret.", of="string"),
        "podLabels": passed("More labels of the pods.", of="string"),
        "nodeSelector": passed("Labels that a node must have.", of="string"),
        "tolerations": items("Taints that the pods bear."),
        "affinity": passed("Affinity of the pods."),
        "priorityClassName": text("Priority class of the pods.", pattern=NAME),
    }


def settings() -> Schema:
    """The settings of the service that need no Secret, in their own names, with their own words."""
    said = _docstrings()
    properties = {}
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        if name in ELSEWHERE:
            continue
        choices = rollhouse_settings._CHOICES.get(name)  # noqa: SLF001 - the chart is made of what the service accepts
        least, most = rollhouse_settings._BOUNDS.get(name, (0, rollhouse_settings._MOST))  # noqa: SLF001
        is_number = int in (Settings.__annotations__[name], *get_args(Settings.__annotations__[name]))
        one: Schema = {"type": "integer", "minimum": least, "maximum": most} if is_number else {"type": "string"}
        if choices is not None:
            one["enum"] = list(choices)
        stands = "" if default in (None, "") else f" Where it is not set: {default}."
        properties[name] = one | {"description": said[name] + stands}
    return group("Settings of the service, each as `ROLLHOUSE_<NAME>`; what is not set keeps the default of the release.", **properties)


def _docstrings() -> dict[str, str]:
    """The words below each field of Settings."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(Settings)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = {}
    for field, words in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
            found[field.target.id] = " ".join(str(words.value.value).split())  # type: ignore[union-attr]
    return found


SPREAD = (
    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"},
    {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
)
BEHAVIOR = {
    "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
    "scaleDown": {"stabilizationWindowSeconds": 300, "policies": [{"type": "Percent", "value": 25, "periodSeconds": 60}]},
}
DNS = ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}},)

VALUES = group(
    "Values of the chart rollhouse.",
    nameOverride=text("Name in place of the chart's, in names and labels.", pattern=LABEL),
    fullnameOverride=text("Name of all objects in place of release and chart.", pattern=LABEL),
    commonLabels=passed("Labels that every object carries.", of="string"),
    publicUrl=text(
        "The address under which identity providers reach the service, such as https://scim.example.com. Required: all URLs that tenants see start with it.",
        pattern=r'^(https?://[!"$->@-~]+)?$',
    ),
    image=group(
        "The image of all containers.",
        repository=text("Where it is kept.", "rollhouse", pattern=r"^[a-z0-9][a-z0-9._/:-]*$"),
        tag=text("Its tag; empty: the version of the application that the chart names.", pattern=r"^[A-Za-z0-9_.-]*$"),
        digest=text("Its digest, which wins over the tag.", pattern=r"^(sha256:[0-9a-f]{64})?$"),
        pullPolicy=choice("When it is fetched.", "IfNotPresent", "Always", "Never"),
        pullSecrets=items("Secrets for fetching it, such as {name: registry}."),
    ),
    database=group(
        "Postgres 15 or newer, with the roles that `rollhouse migrate --print-roles` makes. It does not come with the chart.",
        host=text("Its host, or several with commas. Required.", pattern=r"^[!-~]*$"),
        port=number("Port of it.", 5432, 1, 65535),
        name=text("The database.", "rollhouse", pattern=r"^[A-Za-z0-9_-]+$"),
        parameters=text("More of the connection URL, such as sslmode=verify-full.", "sslmode=prefer", pattern=r"^[!-~]*$"),
        user=text("Role of web and worker: it owns nothing and cannot pass by row-level security.", "rollhouse_app", pattern=r"^[A-Za-z0-9_.-]+$"),
        migrator=text("Role of the migration.", "rollhouse_migrator", pattern=r"^[A-Za-z0-9_.-]+$"),
        connections=number("Connections that a web pod opens at most for requests; it has one more to listen, and a worker has 4.", 16, 1, 1000),
        maxConnections=number(
            "Connections that Postgres, or the pooler in front of it, takes. The chart refuses more pods than fit; 0: do not count.", 300, 0, 1_000_000
        ),
    ),
    redis=group(
        "Redis, in which all pods count the rate limits of tenants. It does not come with the chart.",
        host=text("Its host; empty: each pod counts for itself.", pattern=r"^[!-~]*$"),
        port=number("Port of it.", 6379, 1, 65535),
        database=number("Number of the database.", 0, 0, 65535),
        user=text("Its user; empty: the default one.", pattern=r"^[A-Za-z0-9_.-]*$"),
        tls=flag("Speak TLS with it.", default=False),
    ),
    secrets=group(
        "Secrets, all made beforehand, mounted as files. Passwords may hold any character.",
        databasePassword=secret("Password of `database.user`.", "password"),
        migratorPassword=secret("Password of `database.migrator`; no other pod than the migration's sees it.", "password"),
        redisPassword=secret("Password of Redis.", "password"),
        peppers=secret("Keys for the MACs of tenants' secrets, as 1:<base64url of 32 random bytes>. Required.", "peppers"),
        auditKey=secret("Key that signs the audit, from `rollhouse audit key`. Required while workers run.", "audit-key"),
        oidcClientSecret=secret("Client secret at the platform's OpenID provider.", "client-secret"),
        smtpUrl=secret("URL of the mail server for notices, with its password.", "smtp-url"),
    ),
    settings=settings(),
    web=group(
        "The pods that serve.",
        replicas=number("Pods, where autoscaling is off.", 2, 0),
        resources=resources("500m", "256Mi", "512Mi"),
        drainSeconds=number("How long a pod that is to end goes on serving, so that all balancers have noticed and clients have let go.", 15, 0, 300),
        keepAliveSeconds=number("After how long a connection without a request is ended: longer than the proxy in front keeps it.", 75, 1, 3600),
        preStopSeconds=number("How long a pod that is to end waits before it is told so.", 5, 0, 300),
        autoscaling=group(
            "The autoscaler.",
            enabled=flag("Let it set the number of pods; `replicas` is then not written.", default=True),
            minReplicas=number("Pods at least.", 2, 1),
            maxReplicas=number("Pods at most.", 8, 1),
            cpuPercent=number("Share of the CPU request that pods should use on average.", 65, 1, 1000),
            activeRequests=number("Requests at once in a pod on average, by the metric http_server_active_requests; needs an adapter. 0: not used.", 0),
            metrics=items("More metrics, as in autoscaling/v2."),
            behavior=passed("How fast it acts.", BEHAVIOR),
        ),
        disruption=group(
            "Drains of nodes.",
            enabled=flag("Make a PodDisruptionBudget.", default=True),
            maxUnavailable=number("Pods that may be away at once.", 1, 1),
        ),
        spread=items("How pods are spread; the selector is added.", default=SPREAD),
        **placement(),
    ),
    worker=group(
        "The pods that work behind: sealing, deleting, notices, health of tenants. Any number may run.",
        replicas=number("Pods of it.", 2, 0),
        resources=resources("100m", "192Mi", "384Mi"),
        disruption=group(
            "Drains of nodes.",
            enabled=flag("Make a PodDisruptionBudget.", default=True),
            maxUnavailable=number("Pods that may be away at once.", 1, 1),
        ),
        spread=items("How pods are spread; the selector is added.", default=SPREAD),
        **placement(),
    ),
    migration=group(
        "The Job that brings the database up to date before new pods serve. It needs the Secret of the migrator's password and nothing else of the chart.",
        enabled=flag("Make the Job; without it run `rollhouse migrate` yourself before each upgrade.", default=True),
        mode=choice(
            "`hook`: before Helm installs or upgrades. `job`: an ordinary Job of its own name for each version. `argocd`: in the first wave of a sync.",
            "hook",
            "job",
            "argocd",
        ),
        backoffLimit=number("Tries after the first that fails.", 2, 0),
        deadlineSeconds=number("Longest that all tries may take.", 600, 10),
        keepSeconds=number("How long a finished Job of the modes `job` and `argocd` is kept.", 86400, 0),
        resources=resources("100m", "128Mi", "384Mi"),
        annotations=passed("More annotations of the Job.", of="string"),
        podAnnotations=passed("Annotations of its pod, such as those that keep a mesh's sidecar away.", of="string"),
        podLabels=passed("More labels of its pod.", of="string"),
    ),
    serviceAccount=group(
        "The account of web and worker; it has no rights, and its token is not mounted.",
        create=flag("Whether to make it.", default=True),
        name=text("Its name; empty: the name of the release, or `default` where none is made.", pattern=NAME),
        annotations=passed("Annotations of it.", of="string"),
    ),
    service=group(
        "The Service in front of the web pods.",
        type=choice("Type of the Service.", "ClusterIP", "NodePort", "LoadBalancer"),
        port=number("Port of it.", 80, 1, 65535),
        annotations=passed("Annotations of it.", of="string"),
    ),
    ingress=group(
        "An Ingress. TLS 1.2 must stay on: Entra ID may use it.",
        enabled=flag("Whether to make it.", default=False),
        className=text("Its class: the controller that serves it.", pattern=NAME),
        annotations=passed("Annotations of it.", of="string"),
        hosts=items("Host names.", of="string"),
        tls=items("As in networking.k8s.io/v1: [{secretName, hosts}]."),
    ),
    httpRoute=group(
        "A route of the Gateway API.",
        enabled=flag("Whether to make it.", default=False),
        parentRefs=items("The gateways: [{name, namespace, sectionName}]."),
        hostnames=items("Host names.", of="string"),
        annotations=passed("Annotations of it.", of="string"),
        timeoutSeconds=number("Longest that a request may take; 0: the gateway's own. A provider waits for at most 30 s.", 60, 0),
    ),
    networkPolicy=group(
        "What pods may reach and who may reach them; all else is denied.",
        enabled=flag("Make the policies.", default=True),
        clients=items("Peers that may reach the web pods, as in networking.k8s.io/v1; empty: all."),
        scrapers=items("Peers that may read the metrics; empty: all in the cluster's namespaces."),
        database=items("Peers that are Postgres; empty: every address, on its port."),
        redis=items("Peers that are Redis; empty: every address, on its port."),
        dns=items("Peers that resolve names.", default=DNS),
        https=flag("Let web and worker reach port 443 of every address: keys of federated clients, OpenID providers.", default=True),
        egress=items("More rules for what web and worker reach, such as a mail server or a receiver of traces."),
    ),
    serviceMonitor=group(
        "For the Prometheus operator: what to scrape.",
        enabled=flag("Whether to make it.", default=False),
        labels=passed("Labels by which Prometheus finds it.", of="string"),
        interval=text("How often.", "15s", pattern=r"^[0-9]+(ms|s|m)$"),
    ),
    prometheusRule=group(
        "For the Prometheus operator: recording rules and alerts.",
        enabled=flag("Whether to make it.", default=False),
        labels=passed("Labels by which Prometheus finds it.", of="string"),
        runbooks=text("Address of the runbooks' folder; the alert's name and .md are added.", pattern=r"^(https?://[!-~]+)?$"),
    ),
    dashboards=group(
        "ConfigMaps with the dashboards, for the sidecar of Grafana.",
        enabled=flag("Make them.", default=False),
        labels=passed("Labels by which the sidecar finds them.", {"grafana_dashboard": "1"}, of="string"),
        annotations=passed("Annotations, such as the folder.", of="string"),
    ),
    extraEnv=items("More variables of web, worker and migration, as in a container."),
    extraVolumes=items("More volumes of web, worker and migration, such as the certificate of an authority."),
    extraVolumeMounts=items("Where they are mounted."),
    extraObjects=items("More objects, installed with the chart; templates in them are filled in."),
)
