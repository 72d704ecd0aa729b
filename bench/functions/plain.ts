import { Firestore } from "@google-cloud/firestore";
import type { HttpFunction } from "@google-cloud/functions-framework";

const firestore = new Firestore({ projectId: process.env.GOOGLE_CLOUD_PROJECT ?? "" });

/** What one would write without thinking of speed: Google's library, and a read of the document for each request. */
export const plain: HttpFunction = async (request, response) => {
  const token = await firestore.collection("tokens").doc(String(request.query.name)).get();
  if (!token.exists) response.status(404).json({ status: "404" });
  else response.json({ status: "200", token: token.get("accessToken") });
};
