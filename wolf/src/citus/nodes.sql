-- Where the nodes besides the coordinator are reached.
SELECT groupid, nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND groupid <> 0
