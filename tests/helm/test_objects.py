"""What the chart makes: each promise of docs/kubernetes.md, asked of the objects."""

import json
from typing import Any

import pytest
import yaml

from rollhouse.cli.serve import END_SECONDS
from rollhouse.settings import Settings, read_settings
from tests.helm.charts import CHART, EXAMPLES, ROOMY, containers, environment, of_kind, pods, rendered, the, with_value

EVERYTHING = EXAMPLES["everything"]
SWITCHES: dict[str, tuple[dict[str, Any], str, int]] = {
    "autoscaling on": (with_value("web.autoscaling.enabled", True), "HorizontalPodAutoscaler", 1),
    "autoscaling off": (with_value("web.autoscaling.enabled", False), "HorizontalPodAutoscaler", 0),
    "budgets on": ({}, "PodDisruptionBudget", 2),
    "no budget for web": (with_value("web.disruption.enabled", False), "PodDisruptionBudget", 1),
    "migration off": (with_value("migration.enabled", False), "Job", 0),
    "account off": (with_value("serviceAccount.create", False), "ServiceAccount", 0),
    "ingress off": ({}, "Ingress", 0),
    "ingress on": (with_value("ingress", {"enabled": True, "hosts": ["a.example.com"]}), "Ingress", 1),
    "route off": ({}, "HTTPRoute", 0),
    "route on": (with_value("httpRoute", {"enabled": True, "parentRefs": [{"name": "g"}]}), "HTTPRoute", 1),
    "policies on": ({}, "NetworkPolicy", 3),
    "policies off": (with_value("networkPolicy.enabled", False), "NetworkPolicy", 0),
    "monitor off": ({}, "ServiceMonitor", 0),
    "monitor on": (with_value("serviceMonitor.enabled", True), "ServiceMonitor", 1),
    "rules off": ({}, "PrometheusRule", 0),
    "rules on": (with_value("prometheusRule.enabled", True), "PrometheusRule", 1),
    "dashboards off": ({}, "ConfigMap", 0),
    "dashboards on": (with_value("dashboards.enabled", True), "ConfigMap", 5),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_makes_its_objects_and_no_others(name: str) -> None:
    values, kind, count = SWITCHES[name]

    assert len(of_kind(rendered(ROOMY, values), kind)) == count


@pytest.mark.parametrize("example", EXAMPLES)
class TestEveryPod:
    def test_is_restricted_as_pod_security_wants(self, example: str) -> None:
        for _, spec in pods(rendered(EXAMPLES[example])):
            security = spec["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["runAsUser"] == security["runAsGroup"] == 10001
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
            assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in containers(rendered(EXAMPLES[example])):
            security = container["securityContext"]
            assert security == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}

    def test_has_no_token_and_no_links(self, example: str) -> None:
        for _, spec in pods(rendered(EXAMPLES[example])):
            assert spec["automountServiceAccountToken"] is False
            assert spec["enableServiceLinks"] is False
        for account in of_kind(rendered(EXAMPLES[example]), "ServiceAccount"):
            assert account["automountServiceAccountToken"] is False

    def test_has_requests_and_a_limit_of_memory_but_none_of_cpu(self, example: str) -> None:
        for container in containers(rendered(EXAMPLES[example])):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}

    def test_runs_one_named_version(self, example: str) -> None:
        images = {container["image"] for container in containers(rendered(EXAMPLES[example]))}
        assert len(images) == 1
        assert not images.pop().endswith((":latest", ":"))

    def test_gets_secrets_as_files_only(self, example: str) -> None:
        for container in containers(rendered(EXAMPLES[example])):
            for variable in container.get("env", []):
                assert "valueFrom" not in variable
                assert not variable["name"].endswith(("PASSWORD", "PEPPERS", "KEY", "SECRET", "SMTP_URL")), variable

    def test_has_a_place_to_write_to(self, example: str) -> None:
        for container in containers(rendered(EXAMPLES[example])):
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        for _, spec in pods(rendered(EXAMPLES[example])):
            volumes = {volume["name"] for volume in spec["volumes"]}
            mounted = {mount["name"] for one in [*spec.get("initContainers", []), *spec["containers"]] for mount in one["volumeMounts"]}
            assert volumes == mounted

    def test_is_given_settings_that_the_service_reads(self, example: str) -> None:
        """Every variable is one of Settings', and every value fits: read as the process reads them."""
        for container in containers(rendered(EXAMPLES[example])):
            plain = {name: value for name, value in environment(container).items() if not name.endswith("_FILE")} if "env" in container else {}
            for name in plain:
                assert not name.startswith("ROLLHOUSE_") or name.removeprefix("ROLLHOUSE_").lower() in Settings.__struct_fields__, name
            read_settings({name: value for name, value in plain.items() if value is not None})

    def test_is_selected_by_what_owns_it(self, example: str) -> None:
        for deployment in of_kind(rendered(EXAMPLES[example]), "Deployment"):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
            for constraint in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
                assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_object_carries_the_recommended_labels_and_its_namespace(example: str) -> None:
    for one in rendered(EXAMPLES[example]):
        if one["metadata"]["name"].endswith(("-note", "-vault", "-errors")):
            continue
        labels = one["metadata"]["labels"]
        wanted = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "managed-by", "part-of")} | {"helm.sh/chart"}
        assert wanted <= set(labels), one["kind"]
        assert one["metadata"]["namespace"] == "rollhouse"


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_two_objects_have_one_name_and_no_name_is_too_long(example: str) -> None:
    for release in ("rollhouse", "r" * 53):
        objects = rendered(EXAMPLES[example], name=release)
        names = [(one["kind"], one["metadata"]["name"]) for one in objects]
        assert len(names) == len(set(names))
        assert all(len(name) <= 63 for _, name in names)


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_secret_is_made_and_none_is_in_another_object(example: str) -> None:
    """All are made beforehand: nothing that must stay hidden passes through the values."""
    assert of_kind(rendered(EXAMPLES[example]), "Secret") == []


class TestWeb:
    def test_replicas_are_not_written_where_the_autoscaler_sets_them(self) -> None:
        on = the(rendered(ROOMY, with_value("web.autoscaling.enabled", True)), "Deployment", "web")
        off = the(rendered(ROOMY, with_value("web.autoscaling.enabled", False), with_value("web.replicas", 4)), "Deployment", "web")

        assert "replicas" not in on["spec"]
        assert off["spec"]["replicas"] == 4

    def test_a_rollout_never_takes_a_pod_away_before_the_next_is_ready(self) -> None:
        for component in ("web", "worker"):
            strategy = the(rendered(), "Deployment", component)["spec"]["strategy"]
            assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}

    def test_liveness_asks_no_dependency_and_readiness_notices_the_end_within_the_drain(self) -> None:
        container = the(rendered(), "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]

        assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/livez"
        ready = container["readinessProbe"]
        assert ready["httpGet"]["path"] == "/readyz?exclude=postgres"
        assert (ready["failureThreshold"] + 1) * ready["periodSeconds"] < int(environment(container)["ROLLHOUSE_DRAIN_SECONDS"])
        assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] >= 60

    @pytest.mark.parametrize(("pause", "drain"), [(5, 15), (0, 0), (30, 120)])
    def test_the_grace_is_longer_than_all_that_is_waited_for(self, pause: int, drain: int) -> None:
        spec = the(rendered(with_value("web", {"preStopSeconds": pause, "drainSeconds": drain})), "Deployment", "web")["spec"]["template"]["spec"]
        container = spec["containers"][0]

        assert spec["terminationGracePeriodSeconds"] == pause + drain + END_SECONDS + 7
        assert environment(container)["ROLLHOUSE_DRAIN_SECONDS"] == str(drain)
        assert container.get("lifecycle") == ({"preStop": {"sleep": {"seconds": pause}}} if pause else None)

    def test_the_autoscaler(self) -> None:
        spec = the(rendered(ROOMY, with_value("web.autoscaling", {"enabled": True, "maxReplicas": 4, "activeRequests": 12})), "HorizontalPodAutoscaler")["spec"]

        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rollhouse-web"}
        assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
        assert [one["type"] for one in spec["metrics"]] == ["Resource", "Pods"]
        assert spec["metrics"][1]["pods"] == {"metric": {"name": "http_server_active_requests"}, "target": {"type": "AverageValue", "averageValue": "12"}}
        assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300

    def test_the_service_leads_to_web_pods_alone(self) -> None:
        objects = rendered()
        service = the(objects, "Service", "web")
        for component, hit in (("web", True), ("worker", False)):
            labels = the(objects, "Deployment", component)["spec"]["template"]["metadata"]["labels"]
            assert (service["spec"]["selector"].items() <= labels.items()) is hit

    @pytest.mark.parametrize("component", ["web", "worker"])
    def test_a_disruption_takes_one_pod_and_a_sick_one_stops_no_drain(self, component: str) -> None:
        spec = the(rendered(), "PodDisruptionBudget", component)["spec"]
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")

    def test_pods_spread_over_zones_and_nodes_within_one_roll_out(self) -> None:
        spread = the(rendered(), "Deployment", "web")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(one["matchLabelKeys"] == ["pod-template-hash"] for one in spread)


class TestDatabase:
    def test_the_url_has_no_password_and_names_every_host(self) -> None:
        web = environment(the(rendered(EVERYTHING), "Deployment", "web")["spec"]["template"]["spec"]["containers"][0])
        assert web["ROLLHOUSE_DATABASE_URL"] == "postgresql://app@a.data.svc:6432,b.data.svc:6432/scim"
        assert web["ROLLHOUSE_DATABASE_PASSWORD_FILE"] == "/run/secrets/rollhouse/database-password"
        assert web["ROLLHOUSE_REDIS_URL"] == "rediss://rollhouse@redis:6380/3"
        assert the(rendered(), "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"].endswith("?sslmode=prefer")

    def test_only_the_migration_sees_the_migrator_and_it_sees_nothing_else(self) -> None:
        for metadata, spec in pods(rendered(EVERYTHING)):
            component = metadata["labels"]["app.kubernetes.io/component"]
            named = [source["secret"]["items"][0]["path"] for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", [])]
            assert ("migration-database-password" in named) is (component == "migration"), component
            if component == "migration":
                assert named == ["migration-database-password"]
                assert "ROLLHOUSE_DATABASE_URL" not in environment(spec["containers"][0])

    def test_a_large_number_is_written_as_one(self) -> None:
        web = environment(the(rendered(EVERYTHING), "Deployment", "web")["spec"]["template"]["spec"]["containers"][0])
        assert web["ROLLHOUSE_BODY_LIMIT_BYTES"] == "268435456"
        assert web["ROLLHOUSE_RATE_PER_SECOND"] == "0"

    @pytest.mark.parametrize(
        "path", ["migration.backoffLimit", "migration.keepSeconds", "web.replicas", "web.autoscaling.maxReplicas", "database.maxConnections"]
    )
    def test_a_million_is_written_in_full_everywhere(self, path: str) -> None:
        """Helm reads numbers as floats and writes a million as 1e+06, which Kubernetes refuses."""
        objects = rendered(
            ROOMY,
            EXAMPLES["argocd"],
            with_value("web.autoscaling.enabled", path != "web.replicas"),
            with_value("database.maxConnections", 0),
            with_value(path, 10**6),
        )
        assert "e+06" not in json.dumps(objects)


class TestMigration:
    def test_as_a_hook_it_runs_before_all_else_and_needs_nothing_of_the_chart(self) -> None:
        job = the(rendered(), "Job")
        annotations, spec = job["metadata"]["annotations"], job["spec"]["template"]["spec"]

        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert "hook-failed" not in annotations["helm.sh/hook-delete-policy"], "its log must stay to be read"
        assert spec["serviceAccountName"] == "default"
        assert not any("configMap" in volume for volume in spec["volumes"])
        assert spec["restartPolicy"] == "Never"

    def test_as_a_job_it_has_another_name_for_each_specification(self) -> None:
        job = with_value("migration.mode", "job")
        first = the(rendered(job), "Job")
        again = the(rendered(job, ROOMY, with_value("web.replicas", 3)), "Job")
        other = the(rendered(job, with_value("image.tag", "9.9.9")), "Job")
        later = the(rendered(job, revision=2), "Job")

        assert not any(name.startswith("helm.sh/hook") for name in first["metadata"]["annotations"])
        assert first["metadata"]["name"] == again["metadata"]["name"] != other["metadata"]["name"]
        assert later["metadata"]["name"] != first["metadata"]["name"], "one that failed must not stand in the way of the next"
        assert first["spec"]["ttlSecondsAfterFinished"] == 86400

    def test_for_argo_it_is_in_the_first_wave_of_a_sync(self) -> None:
        annotations = the(rendered(EXAMPLES["argocd"]), "Job")["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/hook"] == "Sync"
        assert annotations["argocd.argoproj.io/sync-wave"] == "-1"
        assert not any(name.startswith("helm.sh/") for name in annotations)

    @pytest.mark.parametrize(("example", "annotation", "value"), [("small", "helm.sh/hook-weight", "-1"), ("argocd", "argocd.argoproj.io/sync-wave", "-2")])
    def test_what_it_may_reach_is_said_before_it_runs(self, example: str, annotation: str, value: str) -> None:
        """Else a new address of Postgres would be tried under the old rules, and never come through."""
        policies = {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in of_kind(rendered(EXAMPLES[example]), "NetworkPolicy")}
        assert policies["migration"]["metadata"]["annotations"][annotation] == value
        assert not any("annotations" in policies[component]["metadata"] for component in ("web", "worker"))

    def test_its_pod_can_be_kept_out_of_a_mesh(self) -> None:
        values = with_value("migration", {"podAnnotations": {"sidecar.istio.io/inject": "false"}, "podLabels": {"a": "b"}})
        metadata = the(rendered(values), "Job")["spec"]["template"]["metadata"]
        assert metadata["annotations"] == {"sidecar.istio.io/inject": "false"}
        assert metadata["labels"]["a"] == "b"

    def test_it_is_given_up_after_a_bounded_time(self) -> None:
        spec = the(rendered(), "Job")["spec"]
        assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (2, 600)


class TestNetwork:
    def test_every_pod_is_under_a_policy_of_both_directions(self) -> None:
        objects = rendered()
        for metadata, _ in pods(objects):
            if metadata["labels"]["app.kubernetes.io/component"] == "test":
                continue
            over = [one for one in of_kind(objects, "NetworkPolicy") if one["spec"]["podSelector"]["matchLabels"].items() <= metadata["labels"].items()]
            assert len(over) == 1
            assert over[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]

    def test_what_each_component_may_reach(self) -> None:
        def ports(component: str) -> set[int]:
            policy = the(rendered(EXAMPLES["production"]), "NetworkPolicy", component)
            return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

        assert ports("web") == ports("worker") == {53, 5432, 6379, 443, 4318, 587}
        assert ports("migration") == {53, 5432}

    def test_nothing_reaches_a_migration_and_only_clients_reach_web(self) -> None:
        objects = rendered(EXAMPLES["production"])
        web = the(objects, "NetworkPolicy", "web")["spec"]["ingress"]

        assert "ingress" not in the(objects, "NetworkPolicy", "migration")["spec"]
        assert web[0]["ports"] == [{"port": "http", "protocol": "TCP"}]
        assert web[0]["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "gateways"}
        assert web[0]["from"][1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
        assert [rule["ports"][0]["port"] for rule in the(objects, "NetworkPolicy", "worker")["spec"]["ingress"]] == ["metrics"]

    def test_redis_is_reached_only_where_there_is_one(self) -> None:
        policy = the(rendered(with_value("redis.host", "")), "NetworkPolicy", "web")
        assert 6379 not in {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


class TestExposure:
    def test_an_ingress_leads_every_host_to_the_service(self) -> None:
        spec = the(rendered(EVERYTHING), "Ingress")["spec"]
        assert spec["ingressClassName"] == "nginx"
        assert spec["rules"][0]["http"]["paths"][0]["backend"]["service"] == {"name": "rollhouse-scim-web", "port": {"name": "http"}}
        assert spec["tls"][0]["hosts"] == ["scim.example.com"]

    def test_a_route_leads_to_the_service_within_a_time(self) -> None:
        route = the(rendered(EXAMPLES["production"]), "HTTPRoute")["spec"]
        assert route["rules"][0]["backendRefs"] == [{"name": "rollhouse-web", "port": 80}]
        assert route["rules"][0]["timeouts"] == {"request": "60s"}
        assert "timeouts" not in the(rendered(EVERYTHING), "HTTPRoute")["spec"]["rules"][0]


class TestObservability:
    def test_the_monitor_finds_the_service_that_leads_to_every_pod(self) -> None:
        objects = rendered(EXAMPLES["production"])
        service, monitor = the(objects, "Service", "metrics"), the(objects, "ServiceMonitor")

        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["publishNotReadyAddresses"] is True
        for component in ("web", "worker"):
            template = the(objects, "Deployment", component)["spec"]["template"]
            assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
            assert "metrics" in {port["name"] for port in template["spec"]["containers"][0]["ports"]}

    def test_the_rules_are_those_of_the_specification_with_their_runbooks(self) -> None:
        made = the(rendered(EXAMPLES["production"]), "PrometheusRule")
        source = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())

        assert made["metadata"]["labels"]["release"] == "prometheus"
        assert [group["name"] for group in made["spec"]["groups"]] == [group["name"] for group in source["groups"]]
        for group, wanted in zip(made["spec"]["groups"], source["groups"], strict=True):
            assert [rule["expr"] for rule in group["rules"]] == [rule["expr"] for rule in wanted["rules"]]
            for rule in group["rules"]:
                if "alert" in rule:
                    assert rule["annotations"]["runbook_url"] == f"https://docs.example.com/rollhouse/runbooks/{rule['alert']}.md"
                    assert rule["labels"]["severity"]

    def test_a_dashboard_is_in_a_config_map_that_the_sidecar_finds(self) -> None:
        for one in of_kind(rendered(EXAMPLES["production"]), "ConfigMap"):
            ((file, text),) = one["data"].items()
            assert json.loads(text) == json.loads((CHART / "files" / "dashboards" / file).read_text())
            assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert len(text) < 1024 * 1024, "an object of Kubernetes holds a mebibyte"


def test_extra_objects_are_filled_in() -> None:
    note = next(one for one in rendered(EVERYTHING) if one["metadata"]["name"] == "rollhouse-note")
    assert note["data"] == {"note": "rollhouse"}


def test_extra_variables_and_volumes_reach_every_component() -> None:
    for metadata, spec in pods(rendered(EVERYTHING)):
        if metadata["labels"]["app.kubernetes.io/component"] != "test":
            assert environment(spec["containers"][0])["PGAPPNAME"] == "rollhouse"
        assert {"name": "ca", "secret": {"secretName": "ca"}} in spec["volumes"]
