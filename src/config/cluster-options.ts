/** How a process comes to a cluster: options of the commands on clusters. */

import { booleanOption, choiceOption, type Option, type OptionTable, textOption } from "./option.ts";

export interface ControlOptions {
  readonly control: string | undefined;
  readonly secretFile: string | undefined;
  readonly bucket: string;
  readonly credentialsFile: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

const file = { placeholder: "FILE", expected: "a path", default: undefined } as const;

export const controlOptions: OptionTable<ControlOptions> = {
  control: textOption({
    flag: "control",
    placeholder: "URL",
    meaning:
      "the cluster's control plane, NATS with JetStream, as nats://HOST:PORT or tls://HOST:PORT; several after commas",
    default: undefined,
    otherwise: "has to be given",
  }),
  secretFile: textOption({
    ...file,
    flag: "secret-file",
    meaning: "the cluster's secret, readable by its owner alone",
    otherwise: "has to be given",
  }),
  bucket: textOption({
    flag: "bucket",
    placeholder: "NAME",
    pattern: /^[A-Za-z0-9_-]{1,64}$/,
    expected: "letters, digits, - and _, at most 64,",
    meaning: "the key-value bucket of this cluster, of those on one control plane",
    default: "openclaw",
  }),
  credentialsFile: textOption({
    ...file,
    flag: "credentials-file",
    meaning:
      "credentials for NATS: a credentials file, NAME:PASSWORD or a token, readable by its owner alone",
    otherwise: "none",
  }),
  tlsCa: textOption({
    ...file,
    flag: "tls-ca",
    meaning:
      "whose certificate NATS has to have, in PEM; with it, or with tls://, nothing is said in the clear",
    otherwise: "the system's authorities",
  }),
  tlsCert: textOption({
    ...file,
    flag: "tls-cert",
    meaning: "this process's certificate, in PEM",
    otherwise: "none",
  }),
  tlsKey: textOption({
    ...file,
    flag: "tls-key",
    meaning: "the certificate's key, readable by its owner alone",
    otherwise: "none",
  }),
};

/** A server's part in a cluster. */
export interface ClusterOptions {
  readonly clusterControl: string | undefined;
  readonly clusterSecretFile: string | undefined;
  readonly clusterBucket: string;
  readonly clusterCredentialsFile: string | undefined;
  readonly clusterTlsCa: string | undefined;
  readonly clusterTlsCert: string | undefined;
  readonly clusterTlsKey: string | undefined;
  readonly clusterName: string | undefined;
  readonly clusterHost: string;
  readonly clusterCompute: "nodes" | "server";
  readonly clusterJournal: "required" | "optional";
  readonly clusterLink: "tcp" | "ucx";
  readonly clusterTrustedNetwork: boolean;
}

/** The same option of a server, which has it in its file, too. */
function ofServer<T>(option: Option<T>, name: string): Option<T> {
  return { ...option, name: `cluster.${name}`, flag: `cluster-${name.replaceAll("_", "-")}` };
}

export const clusterOptions: OptionTable<ClusterOptions> = {
  clusterControl: { ...ofServer(controlOptions.control, "control"), otherwise: "the server is alone" },
  clusterSecretFile: {
    ...ofServer(controlOptions.secretFile, "secret_file"),
    otherwise: "has to be given with `cluster.control`",
  },
  clusterBucket: ofServer(controlOptions.bucket, "bucket"),
  clusterCredentialsFile: ofServer(controlOptions.credentialsFile, "credentials_file"),
  clusterTlsCa: ofServer(controlOptions.tlsCa, "tls_ca"),
  clusterTlsCert: ofServer(controlOptions.tlsCert, "tls_cert"),
  clusterTlsKey: ofServer(controlOptions.tlsKey, "tls_key"),
  clusterName: textOption({
    flag: "cluster-name",
    name: "cluster.name",
    placeholder: "NAME",
    pattern: /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    expected: "letters, digits, - and _, at most 64,",
    meaning: "the server's name, which no other member of the cluster has",
    default: undefined,
    otherwise: "the machine's",
  }),
  clusterHost: textOption({
    flag: "cluster-host",
    name: "cluster.host",
    placeholder: "ADDRESS",
    pattern: /^[0-9a-f:.]+$/i,
    expected: "an address in numbers",
    meaning: "the address at which nodes reach this server",
    default: "127.0.0.1",
  }),
  clusterCompute: choiceOption({
    flag: "cluster-compute",
    name: "cluster.compute",
    choices: ["server", "nodes"],
    meaning: "where the model runs: in the server's own process, or on nodes that joined the cluster",
    default: "server",
  }),
  clusterLink: choiceOption({
    flag: "cluster-link",
    name: "cluster.link",
    choices: ["tcp", "ucx"],
    meaning:
      "what nodes that run the model are linked by: TCP, encrypted, or UCX, which is not and needs `cluster.trusted_network`",
    default: "tcp",
  }),
  clusterTrustedNetwork: booleanOption({
    flag: "cluster-trusted-network",
    name: "cluster.trusted_network",
    meaning: "whether nobody else can read or write what this server and its nodes send each other",
    default: false,
  }),
  clusterJournal: choiceOption({
    flag: "cluster-journal",
    name: "cluster.journal",
    choices: ["required", "optional"],
    meaning:
      "what becomes of a resumable stream that the journal does not take as it begins: it is refused, or goes on and ends with this server",
    default: "required",
  }),
};
