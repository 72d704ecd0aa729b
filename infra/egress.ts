import * as gcp from "@pulumi/gcp";
import type { Output } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

/** One address that never changes, from which refresher and setup ask Webex: Direct VPC egress and a NAT gateway. */
export class Egress extends Part {
  readonly subnetwork: gcp.compute.Subnetwork;
  readonly address: Output<string>;

  constructor(name: string, { project, region }: { project: string; region: string }, options?: PartOptions) {
    super("Egress", name, options);
    const network = new gcp.compute.Network(
      this.declared("network", "holds the subnetwork of refresher and setup, and nothing else"),
      { project, autoCreateSubnetworks: false },
      this.own(),
    );
    this.subnetwork = new gcp.compute.Subnetwork(
      this.declared("subnetwork", "leads what refresher and setup send to the NAT gateway"),
      {
        project,
        region,
        network: network.id,
        ipCidrRange: "10.8.0.0/26",
        // Google's own APIs are reached without the NAT gateway.
        privateIpGoogleAccess: true,
      },
      this.own(),
    );
    const address = new gcp.compute.Address(
      this.declared("address", "is the one address that Webex is asked from"),
      { project, region },
      this.own(),
    );
    const router = new gcp.compute.Router(
      this.declared("router", "carries the NAT gateway"),
      { project, region, network: network.id },
      this.own(),
    );
    new gcp.compute.RouterNat(
      this.declared("nat", "gives all that leaves the subnetwork the one address"),
      {
        project,
        region,
        router: router.name,
        natIpAllocateOption: "MANUAL_ONLY",
        natIps: [address.selfLink],
        sourceSubnetworkIpRangesToNat: "LIST_OF_SUBNETWORKS",
        subnetworks: [{ name: this.subnetwork.id, sourceIpRangesToNats: ["ALL_IP_RANGES"] }],
      },
      this.own(),
    );
    this.address = address.address;
    this.registerOutputs();
  }
}
