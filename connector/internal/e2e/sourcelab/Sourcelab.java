package sourcelab;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.sourcelab.kafka.connect.apiclient.Configuration;
import org.sourcelab.kafka.connect.apiclient.KafkaConnectClient;
import org.sourcelab.kafka.connect.apiclient.request.dto.ConnectorPluginConfigDefinition;
import org.sourcelab.kafka.connect.apiclient.request.dto.ConnectorStatus;
import org.sourcelab.kafka.connect.apiclient.request.dto.NewConnectorDefinition;
import org.sourcelab.kafka.connect.apiclient.request.post.PostConnectorRestart;
import org.sourcelab.kafka.connect.apiclient.rest.exceptions.ResourceNotFoundException;

/**
 * A round of a Kafka Connect client in Java against two workers of one group: sourcelab A B NAME KEY=VALUE …
 *
 * <p>What is asked of worker A is looked for at worker B, and the other way round. It ends with an exception where an answer is not what the client makes of Connect's.
 */
public final class Sourcelab {
  public static void main(String[] args) throws Exception {
    KafkaConnectClient a = new KafkaConnectClient(new Configuration(args[0]));
    KafkaConnectClient b = new KafkaConnectClient(new Configuration(args[1]));
    String name = args[2];
    Map<String, String> config = new HashMap<>();
    for (int i = 3; i < args.length; i++) {
      config.put(args[i].substring(0, args[i].indexOf('=')), args[i].substring(args[i].indexOf('=') + 1));
    }
    Map<String, String> echoed = new HashMap<>(config);
    echoed.put("name", name);

    same(false, a.getConnectServerVersion().getKafkaClusterId().isEmpty());
    same("CoupaSource", b.getConnectorPlugins().iterator().next().getClassName());
    same(0, b.validateConnectorPluginConfig(new ConnectorPluginConfigDefinition("CoupaSource", echoed)).getErrorCount());
    same(echoed, a.addConnector(new NewConnectorDefinition(name, config)).getConfig());
    until("running", List.of("RUNNING", "RUNNING", "RUNNING"), () -> states(b.getConnectorStatus(name)));
    same(true, b.getConnectors().contains(name));
    same(echoed, b.getConnectorConfig(name));
    same(2, b.getConnector(name).getTasks().size());
    same(echoed, b.getConnectorsWithAllExpandedMetadata().getDefinitionForConnector(name).getConfig());
    same("source", b.getConnectorsWithExpandedStatus().getStatusForConnector(name).getType());
    same(true, b.pauseConnector(name));
    until("paused", List.of("PAUSED", "PAUSED", "PAUSED"), () -> states(a.getConnectorStatus(name)));
    same(true, a.resumeConnector(name));
    until("resumed", List.of("RUNNING", "RUNNING", "RUNNING"), () -> states(b.getConnectorStatus(name)));
    for (KafkaConnectClient c : List.of(a, b)) {
      same(true, c.restartConnector(name));
      same(true, c.restartConnector(new PostConnectorRestart(name).withIncludeTasks(true).withOnlyFailed(true)));
      same(true, c.restartConnectorTask(name, 1));
      same(1, c.getConnectorTaskStatus(name, 1).getId());
      same(2, c.getConnectorTasks(name).size());
      same(2, c.getConnectorTopics(name).getTopics().size());
      same(true, c.resetConnectorTopics(name));
    }
    same(true, a.stopConnector(name));
    until("stopped", List.of("STOPPED"), () -> states(b.getConnectorStatus(name)));
    config.put("tasks.max", "7");
    same("7", b.updateConnectorConfig(name, config).getConfig().get("tasks.max"));
    same(true, a.deleteConnector(name));
    until("deleted", false, () -> b.getConnectors().contains(name));
    try {
      throw new AssertionError(b.getConnectorStatus(name));
    } catch (ResourceNotFoundException deleted) {
      return;
    }
  }

  private static List<String> states(ConnectorStatus s) {
    return Stream.concat(Stream.of(s.getConnector().get("state")), s.getTasks().stream().map(ConnectorStatus.TaskStatus::getState)).toList();
  }

  private static void same(Object want, Object got) {
    if (!want.equals(got)) {
      throw new AssertionError("want " + want + ", got " + got);
    }
  }

  /** Waits for what Connect, too, lets come a little later. */
  private static void until(String what, Object want, Callable<Object> ask) throws Exception {
    Object got = null;
    for (int i = 0; i < 300; i++) {
      try {
        got = ask.call();
      } catch (ResourceNotFoundException notYet) {
        got = notYet;
      }
      if (want.equals(got)) {
        return;
      }
      Thread.sleep(200);
    }
    throw new AssertionError(what + ": want " + want + ", got " + got);
  }
}
